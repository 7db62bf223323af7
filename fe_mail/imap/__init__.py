"""
IMAP4rev1 and its extensions (RFC 3501, RFC 9051).

The way of a command: ``framing`` (octets to requests) -> ``scanner`` and ``parser`` (a request to
a value of ``command``) -> ``dispatch`` (the value to a coroutine of one of the command modules)
-> ``formatting`` (out again). ``session`` is what commands see, ``conversation`` takes one request
after the other, ``server`` is the connection, ``factory`` the listener's side. Everything up to
``parser``, and ``formatting``, ``sections``, ``folder_pattern``, is pure grammar.

An extension is a value in ``command``, a line in a table of ``parser`` (or a word in
``fetch_item`` or ``search_key``), a coroutine in a module's ``COMMANDS``, and its name in
``session.ALWAYS``.
"""
