"""
The maildrop: INBOX as it was at login, with marks for deletion.

Messages are numbered once; what arrives later belongs to the next session (RFC 1939 §4). Bodies
are fetched ahead in batches that grow while the client reads in order, because one fetch of many
messages costs hardly more than one of a single message. Nothing is removed before ``commit``. Sizes
are those of what is sent (RFC 1939 §11), which has a line end where the message lacks one.
"""

from collections.abc import AsyncIterator, Sequence

from fe_mail.mailboxes.damage import BrokenOff, are_damaged
from fe_mail.message.headers import header_bounds
from fe_mail.model.errors import Corrupt, NotFound
from fe_mail.model.mailbox import FetchedMessage, Want
from fe_mail.pop3.framing import top
from fe_mail.ports import OpenMailbox

__all__ = ["Maildrop"]

# Fetched ahead at most, in messages and in octets of them.
MAX_AHEAD_MESSAGES = 64
MAX_AHEAD_OCTETS = 1 << 20
# Big messages are read and sent in pieces of this size.
PIECE_OCTETS = 256 * 1024
# Sizes are asked for in slices, so that a huge folder does not hold one long answer.
SLICE_MESSAGES = 2_000


class Maildrop:
    """One session's view of INBOX; numbers start at 1."""

    def __init__(
        self, mailbox: OpenMailbox, folder_id: int, uidvalidity: int, broken_off: BrokenOff
    ) -> None:
        self._mailbox = mailbox
        self._broken_off = broken_off
        self._folder_id = folder_id
        self._uidvalidity = uidvalidity
        self._uids: list[int] = []
        self._sizes: list[int] = []  # as sent
        self._stored: list[int] = []  # as stored
        self._deleted: set[int] = set()
        self._bodies = _Ahead(self, Want.BODY)
        self._headers = _Ahead(self, Want.HEADER)

    @classmethod
    async def open(cls, mailbox: OpenMailbox, broken_off: BrokenOff) -> "Maildrop":
        """Number the messages that are there now."""
        view = await mailbox.select("INBOX", claim_recent=False)
        drop = cls(mailbox, view.folder.id, view.folder.uidvalidity, broken_off)
        for start in range(0, len(view.uids), SLICE_MESSAGES):
            for message in await drop.fetch(view.uids[start : start + SLICE_MESSAGES], Want.LINES):
                drop._uids.append(message.uid)
                drop._sizes.append(message.line_octets or 0)
                drop._stored.append(message.size_octets)
        return drop

    async def fetch(self, uids: Sequence[int], want: Want) -> tuple[FetchedMessage, ...]:
        """What the store has of these messages."""
        return await self._mailbox.fetch(self._folder_id, uids, want)

    async def is_damaged(self, uid: int) -> bool:
        """Is a message that ``fetch`` left out there all the same?"""
        return await are_damaged(self._mailbox, self._folder_id, [uid])

    @property
    def numbers(self) -> list[int]:
        """The messages not marked as deleted."""
        return [number for number in range(1, len(self._uids) + 1) if number not in self._deleted]

    @property
    def size_octets(self) -> int:
        """The sum of their sizes."""
        return sum(self._sizes) - sum(self._sizes[number - 1] for number in self._deleted)

    def has(self, number: int) -> bool:
        """Is there such a message, not marked as deleted?"""
        return 0 < number <= len(self._uids) and number not in self._deleted

    def size(self, number: int) -> int:
        """Octets of a message, as it is sent."""
        return self._sizes[number - 1]

    def uid(self, number: int) -> int:
        """Its UID in INBOX."""
        return self._uids[number - 1]

    def unique_id(self, number: int) -> bytes:
        """What UIDL shows: never the same for two messages (RFC 1939 §7)."""
        return b"%d.%d" % (self._uidvalidity, self._uids[number - 1])

    def delete(self, number: int) -> None:
        """Mark."""
        self._deleted.add(number)

    def reset(self) -> None:
        """Remove every mark."""
        self._deleted.clear()

    async def commit(self) -> None:
        """Remove what is marked, in one transaction (RFC 1939 §6)."""
        if self._deleted:
            uids = [self._uids[number - 1] for number in sorted(self._deleted)]
            await self._mailbox.remove(self._folder_id, uids)
            self._deleted.clear()

    def close(self) -> None:
        """Give the mailbox back."""
        self._mailbox.close()

    async def body(self, number: int) -> bytes | None:
        """A whole message, None for one so big that ``pieces`` must be used. ``NotFound``."""
        return (await self._bodies.get(number)).raw

    async def pieces(self, number: int) -> AsyncIterator[bytes]:
        """A big message in order. ``NotFound``, ``Corrupt``."""
        place = (self._mailbox, self._folder_id, self.uid(number))
        try:
            if self._broken_off.has(*place):
                async for _ in self._pieces(number):
                    pass  # all of it can be read, or nothing is promised
            async for piece in self._pieces(number):
                yield piece
        except Corrupt:
            self._broken_off.add(*place)
            raise

    async def _pieces(self, number: int) -> AsyncIterator[bytes]:
        for start in range(0, self._stored[number - 1], PIECE_OCTETS):
            end = start + PIECE_OCTETS
            yield await self._mailbox.read(self._folder_id, self.uid(number), start, end)

    async def top(self, number: int, lines: int) -> AsyncIterator[bytes]:
        """The header, and some lines of the body. ``NotFound``."""
        if not lines and (header := (await self._headers.get(number)).header) is not None:
            yield header
            return
        raw = await self.body(number)
        if raw is not None:
            yield top(raw, header_bounds(raw)[0], lines)
            return
        async for piece in self._top_of_big(number, lines):
            yield piece

    async def _top_of_big(self, number: int, lines: int) -> AsyncIterator[bytes]:
        head, missing = b"", lines
        is_body = False
        async for octets in self.pieces(number):
            piece, start = octets, 0
            if not is_body:
                head += octets
                start = header_bounds(head)[0]
                if start == len(head):
                    continue  # the empty line may be in the next piece
                piece, is_body = head, True
            there = piece.count(b"\n", start)
            if there >= missing:
                yield top(piece, start, missing)
                return
            missing -= there
            yield piece
        if not is_body:
            yield head


class _Ahead:
    """Messages fetched before they are asked for; each is given out once."""

    def __init__(self, drop: Maildrop, want: Want) -> None:
        self._drop = drop
        self._want = want
        self._fetched: dict[int, FetchedMessage] = {}
        self._expected = 1  # the number a client that reads in order asks for next
        self._batch = 4

    async def get(self, number: int) -> FetchedMessage:
        """The message. ``NotFound`` when another session removed it, ``Corrupt``."""
        uid = self._drop.uid(number)
        if uid not in self._fetched:
            in_order = number == self._expected
            self._batch = min(self._batch * 2, MAX_AHEAD_MESSAGES) if in_order else 1
            uids = self._choose(number)
            self._fetched = {one.uid: one for one in await self._drop.fetch(uids, self._want)}
        self._expected = number + 1
        message = self._fetched.pop(uid, None)
        if message is None and await self._drop.is_damaged(uid):
            raise Corrupt("The message cannot be read.")
        if message is None:
            raise NotFound("The message is gone.")
        return message

    def _choose(self, number: int) -> tuple[int, ...]:
        chosen = [self._drop.uid(number)]
        octets = self._drop.size(number)
        for following in range(number + 1, number + self._batch):
            if not self._drop.has(following):
                continue
            octets += self._drop.size(following) if self._want is Want.BODY else 4_096
            if octets > MAX_AHEAD_OCTETS:
                break
            chosen.append(self._drop.uid(following))
        return tuple(chosen)
