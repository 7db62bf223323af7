"""
One IMAP session: its state, its open mailbox, the selected folder, and what the client knows.

Commands get a ``Session`` and nothing else. The view is brought up to date (``refresh``) when a
bus hint says that the folder changed, or when the last look is old, because a hint may be lost;
EXISTS and flag changes are told at once, EXPUNGE only when the command at hand allows it
(RFC 9051 §7.5.1).
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from fe_mail.accounts.login import Login
from fe_mail.connection.conversation import Farewell
from fe_mail.imap import formatting
from fe_mail.imap.command import State
from fe_mail.imap.framing import APPEND_LIMIT_OCTETS
from fe_mail.imap.read_ahead import ReadAhead
from fe_mail.imap.seen import Seen
from fe_mail.mailboxes.damage import BrokenOff
from fe_mail.mailboxes.view import SelectedFolder
from fe_mail.model.change import Change, ChangeKind
from fe_mail.model.envelope import Peer
from fe_mail.model.errors import MailboxGone, MailError
from fe_mail.model.identity import Identity
from fe_mail.ports import Bus, MailboxStore, OpenMailbox

__all__ = ["Bye", "Services", "Session", "Wire"]

LOOK_AGAIN_SECONDS: Final = 30.0  # without any hint

SYSTEM_FLAGS: Final = frozenset({"\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"})

ALWAYS: Final = (
    b"IMAP4rev1 LITERAL+ SASL-IR ID ENABLE IDLE NAMESPACE UIDPLUS MOVE UNSELECT CHILDREN "
    b"SPECIAL-USE CREATE-SPECIAL-USE CONDSTORE OBJECTID STATUS=SIZE APPENDLIMIT=%d"
    % APPEND_LIMIT_OCTETS
)

log = Logger()


class Bye(Farewell):
    """The session ends from our side, with this sentence after BYE."""

    def __init__(self, text: str, code: bytes = b"") -> None:
        code = b"[%s] " % code if code else b""
        super().__init__(b"* BYE %s%s\r\n" % (code, text.encode("ascii", "replace")))


class Wire(Protocol):
    """What a session needs of its connection."""

    def write(self, octets: bytes) -> None:
        """Add to the output."""

    def is_full(self) -> bool:
        """Enough is collected to be worth a ``drain``."""

    async def drain(self) -> None:
        """Write out and wait while the client reads too slowly."""

    async def breathe(self) -> None:
        """Let other connections have their turn, in the middle of long work."""

    async def line(self) -> bytes:
        """The client's next line, for what follows ``+``."""

    async def line_or_hint(self) -> bytes | None:
        """The client's next line; None when a hint came first."""

    def wake(self) -> None:
        """A hint came."""

    @property
    def peer(self) -> Peer:
        """Who is at the other end, with the TLS of now."""

    @property
    def may_sign_in(self) -> bool:
        """Nobody can read along, or the operator does not mind."""

    @property
    def can_start_tls(self) -> bool:
        """STARTTLS is possible now."""

    def allow_nothing_after(self) -> None:
        """``Farewell`` if the client sent more already."""

    def start_tls(self) -> None:
        """Begin TLS."""

    def authenticated(self, alias_id: str) -> None:
        """From now on the limits and timeouts of a known user hold. ``Farewell``."""

    def say_farewell(self, farewell: Farewell) -> bool:
        """End the session as soon as no command is running."""

    def abort(self) -> None:
        """Close at once: the output cannot be continued in step."""


@attrs.frozen(kw_only=True)
class Services:
    """What all sessions of a listener share."""

    login: Login
    mailboxes: MailboxStore
    bus: Bus
    clock: IReactorTime
    hostname: str
    broken_off: BrokenOff = attrs.field(factory=BrokenOff)


class Session:
    """One client's session."""

    def __init__(self, services: Services, wire: Wire) -> None:
        self.services = services
        self.wire = wire
        self.state = State.NOT_AUTHENTICATED
        self.identity: Identity | None = None
        self.view: SelectedFolder | None = None
        self.condstore = False
        self.read_ahead = ReadAhead()
        self.failures = 0  # of logins
        self.bad_commands = 0  # in a row; before login, altogether
        self._mailbox: OpenMailbox | None = None
        self._seen: Seen | None = None
        self._is_stale = False
        self._has_sealed = False
        self._looked_at = 0.0
        self._subscriptions: list[Callable[[], None]] = []

    @property
    def mailbox(self) -> OpenMailbox:
        """The open mailbox; only after login."""
        assert self._mailbox is not None
        return self._mailbox

    @property
    def selected(self) -> SelectedFolder:
        """The selected folder; only in the selected state."""
        assert self.view is not None
        return self.view

    @property
    def seen(self) -> Seen:
        """Where messages are marked as read; only in the selected state."""
        assert self._seen is not None
        return self._seen

    async def settle(self, tell: bool = True) -> None:
        """Wait until what was read is stored as such; ``tell`` what else became of the flags."""
        if self._seen is not None:
            await self._seen.settled(tell)

    def capabilities(self) -> bytes:
        """What we can do, now (RFC 9051 §6.1.1)."""
        if self.state is not State.NOT_AUTHENTICATED:
            return ALWAYS
        if self.wire.may_sign_in:
            mechanisms = b" ".join(
                b"AUTH=" + name.encode("ascii") for name in self.services.login.mechanisms
            )
            start = b" STARTTLS" if self.wire.can_start_tls else b""
            return ALWAYS + start + b" " + mechanisms
        start = b" STARTTLS" if self.wire.can_start_tls else b""
        return ALWAYS + start + b" LOGINDISABLED"

    def tell(self, octets: bytes) -> None:
        """Send an untagged response."""
        self.wire.write(b"* %s\r\n" % octets)

    async def log_in(self, identity: Identity) -> None:
        """Open the mailbox of who has proved to be its owner."""
        alias_id = identity.alias.id
        self._mailbox = await self.services.mailboxes.unlock(
            alias_id, identity.mailbox_key, identity.alias.sealing_key
        )
        self.identity = identity
        self.state = State.AUTHENTICATED
        subscribe = self.services.bus.subscribe
        self._subscriptions += [
            subscribe(Change.topic(alias_id), self._mailbox_changed),
            subscribe(f"sealed:{alias_id}", self._mail_waits),
        ]
        self.wire.authenticated(alias_id)
        log.info("IMAP login of {alias}", alias=identity.alias.address, **self._ids())

    def _ids(self) -> dict[str, str]:
        peer = self.wire.peer
        return {"session_id": peer.session_id, "ip": peer.ip}

    def close(self) -> None:
        """End of the session: let go of everything."""
        self.state = State.LOGOUT
        self.view = None
        for end in self._subscriptions:
            end()
        self._subscriptions.clear()
        if self._mailbox is not None:
            mailbox, self._mailbox = self._mailbox, None
            settled = Deferred.fromCoroutine(self.settle())
            settled.addBoth(lambda _: mailbox.close())

    def _mailbox_changed(self, payload: Mapping[str, str]) -> None:
        view, change = self.view, Change.read(payload)
        if view is None:
            self._is_stale = True  # a folder is being selected, maybe this one
            return
        if change is not None:
            if change.kind is not ChangeKind.FOLDER or change.id != view.folder.id:
                return
            if change.modseq <= view.modseq:
                return  # told already, or our own doing
        self._is_stale = True
        self.wire.wake()

    def _mail_waits(self, payload: Mapping[str, str]) -> None:
        self._has_sealed = True
        self._is_stale = True
        self.wire.wake()

    def select(self, view: SelectedFolder) -> None:
        """Begin to look at a folder."""
        self.view = view
        self._seen = Seen(self.mailbox, view, partial(self._advance, view), self.tell_fetch_flags)
        self.state = State.SELECTED
        self._looked_at = self.services.clock.seconds()

    def deselect(self) -> None:
        """Look at no folder any more; hints that come from now on are about the next one."""
        self.view = None
        self._seen = None
        self._is_stale = False
        self.read_ahead.clear()
        self.state = State.AUTHENTICATED

    def enable_condstore(self) -> None:
        """A CONDSTORE enabling command was seen (RFC 7162 §3.1)."""
        if not self.condstore:
            self.condstore = True
            if self.view is not None:
                self.tell(b"OK [HIGHESTMODSEQ %d] CONDSTORE is on." % self.view.modseq)

    def advance(self, since: int, modseq: int) -> None:
        """Note a change of our own that was told; what others did before is told by a look."""
        if self.view is not None:
            self._advance(self.view, since, modseq)

    def _advance(self, view: SelectedFolder, since: int, modseq: int) -> None:
        if not view.advance(since, modseq) and view is self.view:
            self._is_stale = True

    async def refresh(self, expunge: bool, force: bool = False) -> None:
        """Tell what changed in the selected folder; EXPUNGE only with ``expunge``."""
        view = self.view
        if view is None or self.state is State.LOGOUT:
            return
        now = self.services.clock.seconds()
        if force:
            self.read_ahead.clear()  # the client is done with reading
        force = force or now - self._looked_at > LOOK_AGAIN_SECONDS
        if force or self._is_stale:
            self._looked_at = now
            self._has_sealed = self._has_sealed or force
            await self._look(view)
        if expunge and view.has_vanished:
            for number in view.take_vanished():
                self.tell(b"%d EXPUNGE" % number)

    async def take_in(self) -> None:
        """Move mail that was sealed for us into its folders, if a hint said that there is some."""
        if not self._has_sealed:
            return
        self._has_sealed = False  # a hint that comes meanwhile is about the next time
        try:
            await self.mailbox.take_in()
        except BaseException:
            self._has_sealed = True
            raise

    async def _look(self, view: SelectedFolder) -> None:
        """
        Ask the store. That it cannot answer now is no failure of the command at hand, which may
        have changed something already: the next command asks again.
        """
        self._is_stale = False
        try:
            await self.settle()
            await self.take_in()
            changes = await self.mailbox.changes(
                view.folder.id, view.modseq, claim_recent=not view.read_only
            )
        except MailboxGone:
            raise
        except MailError as error:
            self._is_stale = True
            log.warn("No changes for IMAP: {error}", error=error.message, **self._ids())
            return
        refresh = view.apply(changes)
        if view.is_gone:
            raise Bye("The selected folder was deleted.")
        if refresh.new_keywords:
            self.tell_flags()
        if refresh.exists:
            self.tell(b"%d EXISTS" % len(view))
            self.tell(b"%d RECENT" % view.recent_count)
        for index in refresh.changed:
            self.tell_fetch_flags(index)

    def tell_flags(self) -> None:
        """FLAGS: the flags and keywords in use (RFC 9051 §7.3.5)."""
        view = self.selected
        self.tell(b"FLAGS " + formatting.flag_list(SYSTEM_FLAGS.union(view.keywords)))

    def tell_fetch_flags(self, index: int, uid: bool = False, flags: bool = True) -> None:
        """An unasked FETCH with the flags of one message."""
        view = self.view
        if view is None:
            return
        number = view.uids[index]
        if view.is_vanished(number):
            return
        items = [b"UID %d" % number] if uid else []
        if flags:
            named = formatting.flag_list(view.flags_of(index), view.is_recent(number))
            items.append(b"FLAGS " + named)
        if self.condstore:
            items.append(b"MODSEQ (%d)" % view.modseqs[index])
        if items:
            self.tell(b"%d FETCH (%s)" % (index + 1, b" ".join(items)))
