"""
The state of one SMTP session, without I/O: octets in, events out.

``next`` gives either a command that is allowed now, for the conversation to perform, or an
``Answer`` that the session can give alone (syntax, order, limits), or content. The conversation
tells what came of a command with ``greeted``, ``logged_in``, ``began``, ``added`` and so on.
Events come one at a time and only when asked for, so commands that were pipelined are judged in
the state that their predecessors left behind (RFC 2920).

RFC 5321 §3.1-§3.8, §4.1.4 (order of commands), §4.5.3 (limits); RFC 3207 §4.2 (nothing is kept
over STARTTLS); RFC 4954 §4 (AUTH); RFC 3848 (names of the transmission types).
"""

import attrs

from fe_mail.model.envelope import Envelope, Peer, Recipient
from fe_mail.policy.limits import MAX_RECIPIENTS
from fe_mail.smtp.command import (
    Auth,
    Bdat,
    Command,
    CommandError,
    Data,
    Ehlo,
    Expn,
    Foreign,
    Grammar,
    Helo,
    Help,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    StartTLS,
    Vrfy,
)
from fe_mail.smtp.errors import TOO_BIG
from fe_mail.smtp.framing import (
    MAX_AUTH_OCTETS,
    MAX_COMMAND_OCTETS,
    Framer,
    Line,
    LineFault,
    Portion,
)
from fe_mail.smtp.wire import Answer, ContentDecoder

__all__ = [
    "STARTTLS_FOLLOWED",
    "Event",
    "Response",
    "Rules",
    "Session",
    "Transaction",
]

MAX_SIZE_OCTETS = 52_428_800
MAX_TRANSACTIONS = 1000  # of one session
MAX_ERRORS = 10  # commands that are malformed or out of order
MAX_REFUSALS = 50  # senders and recipients that were refused: harvesting
MAX_IDLE_COMMANDS = 100  # that bring no message forward, between two messages
MAX_LOGIN_FAILURES = 5

_HELLO_FIRST = Answer(503, "5.5.1", "Say EHLO first")
_MAIL_FIRST = Answer(503, "5.5.1", "Say MAIL first")
_RCPT_FIRST = Answer(554, "5.5.1", "No valid recipients")
_IN_TRANSACTION = Answer(503, "5.5.1", "Not during a mail transaction")
_IN_CHUNKS = Answer(503, "5.5.1", "Not between BDAT chunks")
_NO_SUCH = Answer(502, "5.5.1", "Command not implemented")
_TOO_MANY_ERRORS = Answer(421, "4.7.0", "Too many errors, closing the connection")
# Clear text must never be carried into TLS (RFC 3207 §4.2, CVE-2011-0411).
STARTTLS_FOLLOWED = Answer(554, "5.5.1", "Nothing may follow STARTTLS", closes=True)

_FAULTS = {
    LineFault.LONG: Answer(500, "5.5.2", "The line is too long"),
    LineFault.BARE: Answer(
        500, "5.5.2", "Lines end with CRLF; bare CR, bare LF and NUL are refused", closes=True
    ),
    LineFault.FLOOD: Answer(421, "4.7.0", "The line is far too long"),
}


@attrs.frozen(kw_only=True)
class Rules:
    """What one listener offers and demands."""

    hostname: str
    is_submission: bool = False
    mechanisms: tuple[str, ...] = ()
    has_tls: bool = False
    allow_plaintext_auth: bool = False
    refuses_early_talkers: bool = False
    max_size_octets: int = MAX_SIZE_OCTETS
    max_recipients: int = MAX_RECIPIENTS
    max_transactions: int = MAX_TRANSACTIONS


@attrs.frozen
class Response:
    """A line of the client in an AUTH exchange."""

    octets: bytes = attrs.field(repr=False)


Event = Command | Answer | Portion | Response


class Transaction:
    """An envelope being put together; the same recipient twice is one."""

    def __init__(self, mail: Mail) -> None:
        self.mail = mail
        self.recipients: dict[str, Recipient] = {}
        self.chunks: ContentDecoder | None = None  # since the first BDAT

    def envelope(self, peer: Peer) -> Envelope:
        """The envelope as it stands."""
        return Envelope(
            reverse_path=self.mail.reverse_path,
            recipients=tuple(self.recipients.values()),
            envelope_id=self.mail.envelope_id,
            dsn_return=self.mail.dsn_return,
            is_8bit=self.mail.is_8bit,
            is_utf8=self.mail.is_utf8,
            peer=peer,
        )


class Session:
    """One session. ``is_secure``: the octets come through TLS."""

    def __init__(self, rules: Rules, is_secure: bool = False) -> None:
        self.rules = rules
        self.is_secure = is_secure
        self.is_logged_in = False
        self.farewell: Answer | None = None  # set: nothing new begins, this is said instead
        self.helo = ""
        self.is_extended = False
        self.transaction: Transaction | None = None
        self._awaits_response = False
        self._unwanted: Answer | None = None  # to a BDAT whose octets are still to be skipped
        self.framer = Framer()
        self._grammar = Grammar(
            hostname=rules.hostname,
            has_dsn=rules.is_submission,
            has_auth=bool(rules.mechanisms),
            takes_any_name=rules.is_submission,
        )
        self._transactions = self._errors = self._refusals = 0
        self._idle_commands = self._login_failures = 0

    # Octets

    @property
    def has_input(self) -> bool:
        """Do octets wait that were not looked at?"""
        return self.framer.waiting_octets > 0

    @property
    def is_idle(self) -> bool:
        """Nothing has begun that would be lost by closing."""
        return (
            self.transaction is None and not self._awaits_response and self.framer.is_between_lines
        )

    def next(self) -> Event | None:
        """The next event; None when more octets are needed."""
        frame = self.framer.next()
        while self._unwanted is not None and isinstance(frame, Portion):
            if frame.is_end:
                answer, self._unwanted = self._unwanted, None
                return answer
            frame = self.framer.next()
        if frame is None or isinstance(frame, Portion):
            return frame
        if isinstance(frame, LineFault):
            return self._count_error(_FAULTS[frame])
        if self._awaits_response:
            return Response(frame.octets)
        return self._judge(frame)

    def _judge(self, line: Line) -> Event | None:
        try:
            command = self._grammar.parse(line.octets)
        except CommandError as error:
            # After a BDAT that was not understood nobody knows where the next command begins.
            lost = line.octets[:4].upper() == b"BDAT"
            return self._count_error(attrs.evolve(Answer.of(error.status), closes=lost))
        if self.farewell and self.transaction is None and not isinstance(command, Quit):
            return self.farewell
        objection = self._objection(command)
        if isinstance(command, Bdat):
            return self._begin_chunk(command, objection)
        return command if objection is None else self._count_error(objection)

    def _begin_chunk(self, command: Bdat, objection: Answer | None) -> Event | None:
        """The octets follow whether the command is welcome or not (RFC 3030 §2)."""
        if command.size_octets > self.rules.max_size_octets:
            return attrs.evolve(TOO_BIG, closes=True)
        if objection is None and self.transaction is not None:
            decoder = self.transaction.chunks = self.transaction.chunks or ContentDecoder()
            self.framer.begin_chunk(command.size_octets, command.is_last, decoder)
            return command
        self.framer.begin_chunk(command.size_octets, command.is_last, None)
        # Not counted as an error: chunks pipelined behind one that was refused are none.
        self._unwanted = self._objection_to_idling() or objection or _MAIL_FIRST
        return self.next()

    def _count_error(self, answer: Answer) -> Answer:
        self._errors += answer.code >= 500
        return _TOO_MANY_ERRORS if self._errors > MAX_ERRORS and not answer.closes else answer

    # Order and limits

    def _objection(self, command: Command) -> Answer | None:
        match command:
            case Mail():
                return self._objection_to_mail(command)
            case Rcpt():
                return self._objection_to_rcpt(command)
            case Data() | Bdat():
                return self._objection_to_content(command)
            case Auth():
                return self._objection_to_auth(command)
            case StartTLS():
                return self._objection_to_tls()
            case Quit():
                return None
            case Foreign():
                return Answer(421, "4.7.0", "This is SMTP")
            case Expn():
                return _NO_SUCH
            case Helo() | Ehlo() | Help() | Noop() | Rset() | Vrfy():
                return self._objection_to_idling()

    def _objection_to_idling(self) -> Answer | None:
        self._idle_commands += 1
        return _TOO_MANY_ERRORS if self._idle_commands > MAX_IDLE_COMMANDS else None

    def _objection_to_mail(self, command: Mail) -> Answer | None:
        rules = self.rules
        if not self.helo:
            return _HELLO_FIRST
        if self.transaction is not None:
            return _IN_TRANSACTION
        if rules.is_submission and not self.is_logged_in:
            needs_tls = not (self.is_secure or rules.allow_plaintext_auth)
            text = "Say STARTTLS first" if needs_tls else "Authentication required"
            return Answer(530, "5.7.0", text)
        if command.size_octets > rules.max_size_octets:
            return TOO_BIG
        if self._transactions >= rules.max_transactions:
            return Answer(421, "4.7.0", "Too many messages in one session")
        return None

    def _objection_to_rcpt(self, command: Rcpt) -> Answer | None:
        transaction = self.transaction
        if transaction is None:
            return _MAIL_FIRST if self.helo else _HELLO_FIRST
        if transaction.chunks is not None:
            return _IN_CHUNKS
        if command.needs_utf8 and not transaction.mail.is_utf8:
            return Answer(553, "5.6.7", "A recipient address outside ASCII needs SMTPUTF8")
        if len(transaction.recipients) >= self.rules.max_recipients:
            is_known = command.address.key in transaction.recipients
            return None if is_known else Answer(452, "4.5.3", "Too many recipients")
        return None

    def _objection_to_content(self, command: Data | Bdat) -> Answer | None:
        transaction = self.transaction
        if transaction is None:
            return _MAIL_FIRST if self.helo else _HELLO_FIRST
        if not transaction.recipients:
            return _RCPT_FIRST
        if isinstance(command, Data) and transaction.chunks is not None:
            return _IN_CHUNKS
        return None

    def _objection_to_auth(self, command: Auth) -> Answer | None:
        if not self.rules.mechanisms:
            return _NO_SUCH
        if not self.is_extended:
            return _HELLO_FIRST
        if self.is_logged_in:
            return Answer(503, "5.5.1", "Already authenticated")
        if self.transaction is not None:
            return _IN_TRANSACTION
        if not (self.is_secure or self.rules.allow_plaintext_auth):
            return Answer(538, "5.7.11", "Say STARTTLS first")
        if command.mechanism not in self.rules.mechanisms:
            return Answer(504, "5.5.4", "The authentication mechanism is not supported")
        return None

    def _objection_to_tls(self) -> Answer | None:
        if self.is_secure:
            return Answer(503, "5.5.1", "TLS is active already")
        if not self.rules.has_tls:
            return _NO_SUCH
        return STARTTLS_FOLLOWED if self.has_input else None

    # What became of the commands

    def greeted(self, command: Helo | Ehlo) -> None:
        """HELO or EHLO, which also ends a transaction (RFC 5321 §4.1.4)."""
        self.helo = command.name
        self.is_extended = isinstance(command, Ehlo)
        self.transaction = None

    def secured(self) -> None:
        """TLS begins: everything that was said before is forgotten (RFC 3207 §4.2)."""
        self.is_secure = True
        self.is_extended = self.is_logged_in = False
        self.helo = ""
        self.transaction = None
        self.framer = Framer()

    def expect_response(self, expected: bool) -> None:
        """The next lines belong to an AUTH exchange, or are commands again."""
        self._awaits_response = expected
        self.framer.max_line_octets = MAX_AUTH_OCTETS if expected else MAX_COMMAND_OCTETS

    def logged_in(self) -> None:
        """AUTH succeeded."""
        self.is_logged_in = True
        self._login_failures = 0

    def login_failed(self) -> Answer | None:
        """AUTH failed; the answer if that was once too often."""
        self._login_failures += 1
        if self._login_failures < MAX_LOGIN_FAILURES:
            return None
        return Answer(421, "4.7.0", "Too many failed logins")

    def began(self, command: Mail) -> None:
        """MAIL was accepted."""
        self.transaction = Transaction(command)
        self._transactions += 1

    def added(self, command: Rcpt) -> None:
        """RCPT was accepted."""
        if self.transaction is not None:
            recipient = Recipient(
                address=command.address, notify=command.notify, original=command.original
            )
            self.transaction.recipients.setdefault(command.address.key, recipient)

    def refused(self) -> Answer | None:
        """A sender or recipient was refused for good; the answer if that was once too often."""
        self._refusals += 1
        return _TOO_MANY_ERRORS if self._refusals > MAX_REFUSALS else None

    def begin_data(self) -> None:
        """354 was said."""
        self.framer.begin_data()

    def ended(self, was_message: bool = True) -> None:
        """The transaction is over, by a message or by RSET."""
        self.transaction = None
        if was_message:
            self._idle_commands = 0

    @property
    def protocol(self) -> str:
        """The "with" keyword of a trace field (RFC 3848; RFC 6531 §4.3)."""
        if not self.is_extended:
            return "SMTP"
        is_utf8 = self.transaction is not None and self.transaction.mail.is_utf8
        name = "UTF8SMTP" if is_utf8 else "ESMTP"
        return name + ("S" if self.is_secure else "") + ("A" if self.is_logged_in else "")
