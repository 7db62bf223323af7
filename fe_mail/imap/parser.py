"""
The parser: a request becomes a tag and a command value (RFC 9051 §9).

``COMMANDS`` maps the name of a command to the function that reads its arguments, ``UID_COMMANDS``
the ones that may follow ``UID``. An extension adds a line to a table or a word to a grammar.
Raises only ``Malformed``; ``parse_tag`` gives the tag even of a command that does not parse.
"""

import base64
import binascii
from collections.abc import Callable
from typing import Final

from fe_mail.imap import command
from fe_mail.imap.command import Command, StatusItem
from fe_mail.imap.fetch_item import Attribute, parse_items
from fe_mail.imap.framing import Request
from fe_mail.imap.scanner import MAX_MODSEQ, Malformed, Scanner
from fe_mail.imap.search_key import SearchParser
from fe_mail.model.mailbox import FlagAction

__all__ = ["COMMANDS", "UID_COMMANDS", "parse", "parse_tag"]

MAX_STATUS_ITEMS: Final = 50
MAX_ID_FIELDS: Final = 30  # RFC 2971 §3.3
MAX_ID_NAME_OCTETS: Final = 30
MAX_ID_VALUE_OCTETS: Final = 1024
MAX_CAPABILITIES: Final = 50  # of one ENABLE
MAX_MESSAGES: Final = 1  # of one APPEND; MULTIAPPEND will raise it

STATUS_ITEMS: Final = {item.value: item for item in StatusItem}
ACTIONS: Final = {
    b"FLAGS": FlagAction.REPLACE,
    b"+FLAGS": FlagAction.ADD,
    b"-FLAGS": FlagAction.REMOVE,
}


def parse_tag(request: Request) -> bytes:
    """The tag, ``*`` if there is none to answer to."""
    try:
        return Scanner(request.pieces).tag()
    except Malformed:
        return b"*"


def parse(request: Request) -> tuple[bytes, Command]:
    """The tag and the command."""
    scan = Scanner(request.pieces)
    tag = scan.tag()
    scan.space()
    name = scan.word()
    grammar = COMMANDS.get(name)
    if grammar is None:
        raise Malformed("Unknown command.")
    found = grammar(scan)
    scan.end()
    return tag, found


def _decode_base64(octets: bytes) -> bytes:
    """Strict base64, without line breaks (RFC 4648 §4)."""
    try:
        return base64.b64decode(octets, validate=True)
    except binascii.Error:
        raise Malformed("Expected base64.") from None


def _bare(value: Command) -> Callable[[Scanner], Command]:
    return lambda scan: value


def _named(make: Callable[[str], Command]) -> Callable[[Scanner], Command]:
    def grammar(scan: Scanner) -> Command:
        scan.space()
        return make(scan.folder_name())

    return grammar


def _identify(scan: Scanner) -> Command:
    scan.space()
    fields: list[tuple[bytes, bytes | None]] = []
    if scan.accept_word(b"NIL"):
        return command.Identify(())
    goes_on = scan.opens()
    while goes_on:
        name = scan.string()
        scan.space()
        value = scan.nstring()
        if len(name) > MAX_ID_NAME_OCTETS or len(value or b"") > MAX_ID_VALUE_OCTETS:
            raise Malformed("A field of ID is too long.")
        fields.append((name, value))
        if len(fields) > MAX_ID_FIELDS:
            raise Malformed("Too many fields of ID.")
        goes_on = scan.goes_on()
    return command.Identify(tuple(fields))


def _authenticate(scan: Scanner) -> Command:
    scan.space()
    mechanism = scan.atom().decode("ascii").upper()
    if scan.at_end():
        return command.Authenticate(mechanism)
    scan.space()
    initial = scan.text[scan.at :]
    scan.at = len(scan.text)
    return command.Authenticate(mechanism, b"" if initial == b"=" else _decode_base64(initial))


def _login(scan: Scanner) -> Command:
    scan.space()
    username = scan.astring()
    scan.space()
    return command.Login(username, scan.astring())


def _enable(scan: Scanner) -> Command:
    names: list[bytes] = []
    while not names or not scan.at_end():
        scan.space()
        names.append(scan.atom().upper())
        if len(names) > MAX_CAPABILITIES:
            raise Malformed("Too many capabilities.")
    return command.Enable(tuple(names))


def _select(make: Callable[[str, bool], Command]) -> Callable[[Scanner], Command]:
    def grammar(scan: Scanner) -> Command:
        scan.space()
        name = scan.folder_name()
        condstore = False
        if not scan.at_end():
            scan.space()
            scan.expect(b"(")
            if not scan.accept_word(b"CONDSTORE"):
                raise Malformed("Unknown parameter.")
            condstore = True
            scan.expect(b")")
        return make(name, condstore)

    return grammar


def _create(scan: Scanner) -> Command:
    scan.space()
    name = scan.folder_name()
    if scan.at_end():
        return command.Create(name)
    scan.space()
    scan.expect(b"(")
    if not scan.accept_word(b"USE"):
        raise Malformed("Unknown parameter.")
    scan.space()
    scan.expect(b"(")
    uses: list[str] = []
    while not scan.accept(b")"):
        if uses:
            scan.space()
        scan.expect(b"\\")
        uses.append("\\" + scan.atom().decode("ascii").capitalize())
    scan.expect(b")")
    return command.Create(name, tuple(uses))


def _rename(scan: Scanner) -> Command:
    scan.space()
    old = scan.folder_name()
    scan.space()
    return command.Rename(old, scan.folder_name())


def _list(make: Callable[[str, str], Command]) -> Callable[[Scanner], Command]:
    def grammar(scan: Scanner) -> Command:
        scan.space()
        reference = scan.folder_name()
        scan.space()
        return make(reference, scan.list_pattern(reference))

    return grammar


def _status(scan: Scanner) -> Command:
    scan.space()
    name = scan.folder_name()
    scan.space()
    items: list[StatusItem] = []
    goes_on = scan.opens()
    while goes_on or not items:
        item = STATUS_ITEMS.get(scan.word())
        if item is None:
            raise Malformed("Unknown item of STATUS.")
        items.append(item)
        if len(items) > MAX_STATUS_ITEMS:
            raise Malformed("Too many items.")
        goes_on = scan.goes_on()
    return command.Status(name, tuple(dict.fromkeys(items)))


def _append(scan: Scanner) -> Command:
    scan.space()
    name = scan.folder_name()
    messages: list[command.NewLiteral] = []
    while not messages or not scan.at_end():
        scan.space()
        messages.append(_new_literal(scan))
        if len(messages) > MAX_MESSAGES:
            raise Malformed("One message at a time.")
    return command.Append(name, tuple(messages))


def _new_literal(scan: Scanner) -> command.NewLiteral:
    flags: frozenset[str] = frozenset()
    date = None
    if scan.peek() == b"(":
        flags = scan.flags()
        scan.space()
    if scan.peek() == b'"':
        date = scan.date_time()
        scan.space()
    return command.NewLiteral(scan.literal(), flags, date)


def _uid(scan: Scanner) -> Command:
    scan.space()
    grammar = UID_COMMANDS.get(scan.word())
    if grammar is None:
        raise Malformed("Unknown command.")
    return grammar(scan)


def _uid_expunge(scan: Scanner) -> Command:
    scan.space()
    return command.Expunge(scan.sequence_set())


def _fetch(uid: bool) -> Callable[[Scanner], Command]:
    def grammar(scan: Scanner) -> Command:
        scan.space()
        numbers = scan.sequence_set()
        scan.space()
        items = parse_items(scan)
        if uid and Attribute.UID not in items:
            items = (Attribute.UID, *items)
        changed_since = None
        if not scan.at_end():
            scan.space()
            changed_since = _modifier(scan, b"CHANGEDSINCE")
            if Attribute.MODSEQ not in items:
                items = (*items, Attribute.MODSEQ)
            scan.expect(b")")
        return command.Fetch(numbers, items, changed_since, uid)

    return grammar


def _modifier(scan: Scanner, name: bytes) -> int:
    scan.expect(b"(")
    if not scan.accept_word(name):
        raise Malformed("Unknown modifier.")
    scan.space()
    return scan.number(MAX_MODSEQ)


def _store(uid: bool) -> Callable[[Scanner], Command]:
    def grammar(scan: Scanner) -> Command:
        scan.space()
        numbers = scan.sequence_set()
        scan.space()
        unchanged_since = None
        if scan.peek() == b"(":
            unchanged_since = _modifier(scan, b"UNCHANGEDSINCE")
            scan.expect(b")")
            scan.space()
        word = scan.word()
        silent = word.endswith(b".SILENT")
        action = ACTIONS.get(word.removesuffix(b".SILENT"))
        if action is None:
            raise Malformed("Expected FLAGS, +FLAGS or -FLAGS.")
        scan.space()
        flags = scan.flags()
        return command.Store(numbers, action, flags, silent, unchanged_since, uid)

    return grammar


def _copy(make: Callable[..., Command], uid: bool) -> Callable[[Scanner], Command]:
    def grammar(scan: Scanner) -> Command:
        scan.space()
        numbers = scan.sequence_set()
        scan.space()
        return make(numbers, scan.folder_name(), uid)

    return grammar


def _search(uid: bool) -> Callable[[Scanner], Command]:
    def grammar(scan: Scanner) -> Command:
        scan.space()
        parser = SearchParser(scan)
        criterion = parser.program()
        return command.Search(criterion, parser.mentions_modseq, uid)

    return grammar


COMMANDS: Final[dict[bytes, Callable[[Scanner], Command]]] = {
    b"CAPABILITY": _bare(command.Capability()),
    b"NOOP": _bare(command.Noop()),
    b"LOGOUT": _bare(command.Logout()),
    b"ID": _identify,
    b"STARTTLS": _bare(command.StartTLS()),
    b"AUTHENTICATE": _authenticate,
    b"LOGIN": _login,
    b"ENABLE": _enable,
    b"SELECT": _select(command.Select),
    b"EXAMINE": _select(command.Examine),
    b"CREATE": _create,
    b"DELETE": _named(command.Delete),
    b"RENAME": _rename,
    b"SUBSCRIBE": _named(command.Subscribe),
    b"UNSUBSCRIBE": _named(command.Unsubscribe),
    b"LIST": _list(command.List),
    b"LSUB": _list(command.ListSubscribed),
    b"NAMESPACE": _bare(command.Namespace()),
    b"STATUS": _status,
    b"APPEND": _append,
    b"IDLE": _bare(command.Idle()),
    b"CHECK": _bare(command.Check()),
    b"CLOSE": _bare(command.Close()),
    b"UNSELECT": _bare(command.Unselect()),
    b"EXPUNGE": _bare(command.Expunge()),
    b"SEARCH": _search(uid=False),
    b"FETCH": _fetch(uid=False),
    b"STORE": _store(uid=False),
    b"COPY": _copy(command.Copy, uid=False),
    b"MOVE": _copy(command.Move, uid=False),
    b"UID": _uid,
}
UID_COMMANDS: Final[dict[bytes, Callable[[Scanner], Command]]] = {
    b"EXPUNGE": _uid_expunge,
    b"SEARCH": _search(uid=True),
    b"FETCH": _fetch(uid=True),
    b"STORE": _store(uid=True),
    b"COPY": _copy(command.Copy, uid=True),
    b"MOVE": _copy(command.Move, uid=True),
}
