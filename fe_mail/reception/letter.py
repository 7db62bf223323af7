"""
A message that streams by on its way into the spool: what rules and checks get to see of it.

Its header is kept, up to a little over the limit, within the memory that all connections share:
a thousand strangers may send one at a time. Of the body nothing is kept, only the hashes that its
DKIM signatures speak of.
"""

from functools import cached_property

from twisted.logger import Logger

from fe_mail.budget import Budget, Share
from fe_mail.mailauth.dkim import Examination, Examined
from fe_mail.message.headers import (
    MAX_FIELDS,
    HeaderField,
    field_values,
    first_value,
    header_fields,
)
from fe_mail.model.envelope import Envelope
from fe_mail.model.errors import Unavailable
from fe_mail.model.verdicts import Verdicts
from fe_mail.policy.inbound import MessageFacts
from fe_mail.policy.limits import MAX_HEADER_OCTETS

__all__ = ["HeaderTap", "Letter"]

log = Logger()

MAX_MESSAGE_ID_OCTETS = 998
FIELD_OCTETS = 300  # what a field costs as an object, besides its own


class HeaderTap:
    """Keeps the header of a message that streams by, up to a little over its limit."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._end = -1

    def feed(self, data: bytes) -> int:
        """Look at more octets of the message; how many of them belong to the body."""
        if self._end >= 0:
            return len(data)
        if len(self._kept) > MAX_HEADER_OCTETS:
            return 0
        start = max(0, len(self._kept) - 3)
        self._kept += data
        if self._kept.startswith(b"\r\n"):
            self._end = 2
        elif (found := self._kept.find(b"\r\n\r\n", start)) >= 0:
            self._end = found + 4
        if self._end >= 0:
            body_octets = len(self._kept) - self._end
            del self._kept[self._end :]
            return body_octets
        del self._kept[MAX_HEADER_OCTETS + 1 :]
        return 0

    def __len__(self) -> int:
        """How many octets are kept."""
        return len(self._kept)

    @property
    def header(self) -> bytes:
        """The header with its empty line, as far as it was seen."""
        return bytes(self._kept)

    @property
    def has_end(self) -> bool:
        """The empty line was seen."""
        return self._end >= 0

    @property
    def is_complete(self) -> bool:
        """False when it is longer than the limit; a message may lack the empty line."""
        return len(self) <= MAX_HEADER_OCTETS


class Letter:
    """
    ``examines``: look at the signatures, which our own users' mail has none of. Whoever began a
    letter closes it, to give its share of ``memory`` back.
    """

    def __init__(self, envelope: Envelope, now: float, *, examines: bool, memory: Budget) -> None:
        self.envelope = envelope
        self._now = now
        self._share = Share(memory)
        self._tap = HeaderTap()
        self._examines = examines
        self._examination: Examination | None = None
        self.is_8bit = False  # an octet beyond ASCII was seen

    def feed(self, data: bytes) -> bytes:
        """
        Look at more octets; what of them belongs to the body.

        ``Unavailable`` when there is no memory to keep the header.
        """
        body_octets = self._tap.feed(data)
        self.is_8bit = self.is_8bit or not data.isascii()
        if self._examines and self._tap.has_end:
            self._examine(memoryview(data)[len(data) - body_octets :])
        if not self._share.resize(self._kept_octets()):
            self.close()
            raise Unavailable("Too much mail at once.")
        return data[len(data) - body_octets :]

    def _kept_octets(self) -> int:
        """The header as it came; and its fields, once somebody wanted them."""
        if "fields" not in self.__dict__:
            return len(self._tap)
        return 2 * len(self._tap) + FIELD_OCTETS * len(self.fields)

    def close(self) -> None:
        """Nothing is kept any longer; more than once does nothing."""
        self._tap = HeaderTap()
        self._examines, self._examination = False, None
        self.__dict__.pop("fields", None)
        self._share.release()

    def _examine(self, body: memoryview) -> None:
        """Nothing that goes wrong here stops a message."""
        try:
            if self._examination is None:
                self._examination = Examination(self.fields, self._now)
            self._examination.update(body)
        except Exception:
            self._examines, self._examination = False, None
            log.failure("the signatures of a message cannot be examined")

    @property
    def header(self) -> bytes:
        """The header as it came, with its empty line, as far as it was seen."""
        return self._tap.header

    @property
    def has_header(self) -> bool:
        """All of the header was seen: what follows is the body."""
        return self._tap.has_end

    @property
    def is_whole(self) -> bool:
        """The header kept its limit."""
        return self._tap.is_complete

    @cached_property
    def fields(self) -> tuple[HeaderField, ...]:
        """The header, once all of it was seen."""
        return header_fields(self._tap.header)

    @property
    def message_id(self) -> str:
        """The Message-ID field for the owner's list, empty if none."""
        value = first_value(self.fields, b"message-id") or b""
        return value[:MAX_MESSAGE_ID_OCTETS].decode("utf-8", "replace")

    def signatures(self) -> tuple[Examined, ...]:
        """What is known of them without their keys, at the end. ``Unavailable``: we failed."""
        if self._examination is not None:
            return self._examination.finish()
        if not self._examines:
            raise Unavailable
        return Examination(self.fields, self._now).finish()  # a header without an end

    def facts(self, verdicts: Verdicts) -> MessageFacts:
        """What the tables look at."""
        return MessageFacts(
            envelope=self.envelope,
            received_count=len(field_values(self.fields, b"received")),
            header_octets=len(self._tap),
            # What stands behind so many fields would be seen by readers and not by the rules.
            has_header_end=self._tap.is_complete and len(self.fields) < MAX_FIELDS,
            verdicts=verdicts,
        )
