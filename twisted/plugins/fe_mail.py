"""The twistd plugins: all of fe-mail, and one per role. Nothing heavy is imported here."""

from twisted.application.service import ServiceMaker

_ROLES = {
    "mx": "inbound mail (SMTP)",
    "smtp": "submission of outgoing mail",
    "imap": "reading mail with IMAP",
    "pop3": "reading mail with POP3",
    "web": "the web UI",
    "api": "the REST API",
    "smtp-bree": "delivery of queued mail",
    "bree": "background jobs",
}


def _maker(name: str, attribute: str, description: str) -> ServiceMaker:
    return ServiceMaker(name, f"fe_mail.app.tap.{attribute}", description, name)


fe_mail = _maker("fe-mail", "every_role", "fe-mail: a whole mail system")
fe_mail_mx = _maker("fe-mail-mx", "mx", f"fe-mail: {_ROLES['mx']}")
fe_mail_smtp = _maker("fe-mail-smtp", "smtp", f"fe-mail: {_ROLES['smtp']}")
fe_mail_imap = _maker("fe-mail-imap", "imap", f"fe-mail: {_ROLES['imap']}")
fe_mail_pop3 = _maker("fe-mail-pop3", "pop3", f"fe-mail: {_ROLES['pop3']}")
fe_mail_web = _maker("fe-mail-web", "web", f"fe-mail: {_ROLES['web']}")
fe_mail_api = _maker("fe-mail-api", "api", f"fe-mail: {_ROLES['api']}")
fe_mail_smtp_bree = _maker("fe-mail-smtp-bree", "smtp_bree", f"fe-mail: {_ROLES['smtp-bree']}")
fe_mail_bree = _maker("fe-mail-bree", "bree", f"fe-mail: {_ROLES['bree']}")
