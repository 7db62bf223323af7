"""
Values of the queue: a message, its deliveries, claims and outcomes.

One ``QueuedMessage`` has one body and one ``QueuedDelivery`` per resolved target. A delivery is
``waiting`` (due at ``next_attempt_at``), ``held`` (with a reason, until somebody releases it) or
settled. A claim is a lease: it survives a kill by running out. Deliveries of one message that go
to one host are one claim, so that they share a connection.
"""

import enum

import attrs

from fe_mail.model.envelope import Peer
from fe_mail.model.ids import BlobId
from fe_mail.model.status import Status

__all__ = [
    "DUE_TOPIC",
    "Claim",
    "DeliveryState",
    "Handling",
    "Outcome",
    "OutcomeKind",
    "QueueEntry",
    "QueueFilter",
    "QueuedDelivery",
    "QueuedMessage",
    "Room",
    "Target",
]

DUE_TOPIC = "queue"  # of the bus: something may be due


class DeliveryState(enum.Enum):
    """Where a delivery stands."""

    WAITING = "waiting"
    HELD = "held"
    DELIVERED = "delivered"
    FAILED = "failed"


@attrs.frozen(kw_only=True)
class Target:
    """
    Where one copy goes: the name of a courier and what it needs.

    ``local``: ``address`` is the alias's address, ``alias_id`` its mailbox. ``forward``:
    ``address`` is the target, sent on with an SRS reverse-path. ``remote``: ``address`` is the
    recipient itself. ``webhook``: ``address`` is the URL, ``alias_id`` the alias that names it.
    ``domain_id`` is the hosted domain whose owner reads of the delivery; it makes no other target.
    """

    courier: str
    address: str
    alias_id: str = ""
    domain_id: str = attrs.field(default="", eq=False)


@attrs.frozen(kw_only=True)
class Handling:
    """
    What the rules wish for a copy beside its delivery.

    ``folder`` and ``keywords`` are for a mailbox of ours, empty: INBOX and none. ``fields`` are
    lines of the header ("X-Spam: yes"), put on top wherever the copy goes.
    """

    folder: str = ""
    keywords: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()

    @property
    def header(self) -> bytes:
        """The fields as octets."""
        return "".join(f"{field}\r\n" for field in self.fields).encode("utf-8")


@attrs.frozen(kw_only=True)
class QueuedMessage:
    """A durable message; everything but the body, which the queue keeps."""

    id: str
    size_octets: int
    reverse_path: str  # empty: <>
    created_at: float
    source: str  # "mx", "submission", "bounce", "system"
    alias_id: str = ""  # of the submitting alias
    domain_id: str = ""  # of the submitting alias's domain
    envelope_id: str = ""
    dsn_return: str = ""
    is_8bit: bool = False
    is_utf8: bool = False
    requires_tls: bool = False
    message_id: str = ""  # the Message-ID header field, for the owner's list
    is_sender_proven: bool = False  # of mail from outside: the reverse-path is no forgery
    peer: Peer = Peer()
    blob: BlobId | None = None  # where a large body is; the queue's own business


@attrs.frozen(kw_only=True)
class QueuedDelivery:
    """One copy on its way. ``number`` is unique within the message."""

    message_id: str  # QueuedMessage.id
    number: int
    recipient: str  # as the sender wrote it: the Original- or Final-Recipient of a report
    target: Target
    state: DeliveryState = DeliveryState.WAITING
    hold_reason: str = ""
    attempts: int = 0
    next_attempt_at: float = 0.0
    notify: tuple[str, ...] = ()
    original_recipient: str = ""  # ORCPT
    last_status: str = ""  # "451 4.4.1 ...", of the last attempt
    last_attempt_at: float = 0.0
    delayed_notice_at: float = 0.0
    handling: Handling = Handling()


class OutcomeKind(enum.Enum):
    """What a courier says of one attempt."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    FAILED = "failed"


@attrs.frozen(kw_only=True)
class Outcome(Status):
    """
    The result of one attempt, and what it means for the delivery.

    ``remote`` names the host that it is about, and ``said`` is that host's answer, word for word:
    empty when it gave none, and code and text are ours. ``note`` is for the journal only.
    """

    kind: OutcomeKind
    remote: str = ""
    said: str = ""
    tls: str = ""
    note: str = ""

    @property
    def is_quote(self) -> bool:
        """Is the text the host's own?"""
        return bool(self.said) and self.text in self.said

    @property
    def record(self) -> str:
        """For logs: the line, and the host's answer where that is another one."""
        if not self.said or self.is_quote:
            return self.line
        return f"{self.line} ({self.said})"

    @classmethod
    def delivered(cls, text: str = "", remote: str = "", tls: str = "") -> "Outcome":
        """Taken over by the target."""
        return cls(
            kind=OutcomeKind.DELIVERED,
            code=250,
            enhanced="2.0.0",
            text=text,
            remote=remote,
            tls=tls,
        )

    @classmethod
    def deferred(
        cls, code: int = 451, enhanced: str = "4.0.0", text: str = "", remote: str = ""
    ) -> "Outcome":
        """Not now; try again later."""
        return cls(
            kind=OutcomeKind.DEFERRED, code=code, enhanced=enhanced, text=text, remote=remote
        )

    @classmethod
    def failed(
        cls, code: int = 550, enhanced: str = "5.0.0", text: str = "", remote: str = ""
    ) -> "Outcome":
        """Never; the sender is told."""
        return cls(kind=OutcomeKind.FAILED, code=code, enhanced=enhanced, text=text, remote=remote)


@attrs.frozen(kw_only=True)
class Claim:
    """
    A lease on deliveries of one message that go the same way; ``token`` proves it.

    ``owner`` is who sent them and ``lane`` where they go, in the words of ``model/lane.py``.
    With ``is_hurried`` other mail waits for the place: who does not answer soon is left.
    """

    message: QueuedMessage
    deliveries: tuple[QueuedDelivery, ...]
    token: str
    lane: str
    owner: str = ""
    is_hurried: bool = False

    @property
    def delivery(self) -> QueuedDelivery:
        """The first, for couriers that never get more than one."""
        return self.deliveries[0]


@attrs.frozen(kw_only=True)
class Room:
    """
    What a runner can take of one kind of courier: ``places`` claims in all, ``per_lane`` of one
    lane and ``per_owner`` of one owner (mail without an owner is not counted), none of the lanes
    and owners that are named.
    """

    kind: str
    places: int
    per_lane: int
    per_owner: int
    full_lanes: frozenset[str] = frozenset()
    full_owners: frozenset[str] = frozenset()


@attrs.frozen(kw_only=True)
class QueueEntry:
    """A message with all its deliveries, as the operator lists it."""

    message: QueuedMessage
    deliveries: tuple[QueuedDelivery, ...]


@attrs.frozen(kw_only=True)
class QueueFilter:
    """
    All given conditions must hold; empty means any.

    ``after`` is when the last message of the page before was created, and its id.
    """

    message_id: str = ""
    alias_id: str = ""
    domain_id: str = ""
    state: DeliveryState | None = None
    recipient: str = ""  # substring
    limit: int = 1000
    after: tuple[float, str] = (0.0, "")
