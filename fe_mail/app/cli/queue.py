"""``fe-mail queue …``: mail on its way."""

from collections.abc import AsyncIterator, Mapping, Sequence

import attrs

from fe_mail.api.objects import timestamp
from fe_mail.app.cli.command import DONE, JSON, YES, Command, Options, argument
from fe_mail.app.cli.terminal import (
    FOR_GOOD,
    confirm,
    counted,
    moment,
    print_json,
    print_table,
    say,
)
from fe_mail.app.wiring import Inside
from fe_mail.model.address import display_address
from fe_mail.model.errors import NotFound
from fe_mail.model.queue import (
    DUE_TOPIC,
    DeliveryState,
    QueuedDelivery,
    QueueEntry,
    QueueFilter,
)
from fe_mail.ports import Queue

__all__ = ["COMMANDS"]

PAGE_MESSAGES = 500
_HEADS = ("ID", "SINCE", "FROM", "TO", "STATE", "LAST STATUS")


async def _list(services: Inside, options: Options) -> int:
    state = DeliveryState(options.state) if options.state else None
    which = QueueFilter(recipient=options.to or "", state=state, limit=PAGE_MESSAGES)
    entries = _every(services.stores.queue, which, sender=options.sender or "")
    if options.json:
        await print_json(_object(entry) async for entry in entries)
    else:
        is_all = which.state is None and not (which.recipient or options.sender)
        await print_table(
            _HEADS,
            _rows(entries),
            empty="The queue is empty." if is_all else "Nothing in the queue is like that.",
        )
    return DONE


async def _every(queue: Queue, which: QueueFilter, sender: str) -> AsyncIterator[QueueEntry]:
    """Page by page, so that a long queue needs no memory; of each the deliveries that match."""
    while entries := await queue.find(which):
        for entry in entries:
            if sender.casefold() not in entry.message.reverse_path.casefold():
                continue
            matching = tuple(each for each in entry.deliveries if _matches(each, which))
            yield attrs.evolve(entry, deliveries=matching)
        last = entries[-1].message
        which = attrs.evolve(which, after=(last.created_at, last.id))


def _matches(delivery: QueuedDelivery, which: QueueFilter) -> bool:
    is_in_state = which.state is None or delivery.state is which.state
    return is_in_state and which.recipient.casefold() in delivery.recipient.casefold()


async def _rows(entries: AsyncIterator[QueueEntry]) -> AsyncIterator[tuple[str, ...]]:
    async for entry in entries:
        for delivery in entry.deliveries:
            yield (
                entry.message.id,
                moment(entry.message.created_at),
                _sender(entry),
                display_address(delivery.target.address),
                _state(delivery),
                delivery.last_status,
            )


def _sender(entry: QueueEntry) -> str:
    return display_address(entry.message.reverse_path) or "<>"


def _state(delivery: QueuedDelivery) -> str:
    state = delivery.state.value
    return f"{state} ({delivery.hold_reason})" if delivery.hold_reason else state


def _object(entry: QueueEntry) -> Mapping[str, object]:
    message = entry.message
    return {
        "id": message.id,
        "object": "queued_message",
        "created_at": timestamp(message.created_at),
        "source": message.source,
        "reverse_path": message.reverse_path,
        "message_id": message.message_id,
        "size_octets": message.size_octets,
        "deliveries": [
            {
                "recipient": each.recipient,
                "courier": each.target.courier,
                "address": each.target.address,
                "state": each.state.value,
                "hold_reason": each.hold_reason,
                "attempts": each.attempts,
                "last_attempt_at": _moment_or_none(each.last_attempt_at),
                "next_attempt_at": _moment_or_none(each.next_attempt_at),
                "last_status": each.last_status,
            }
            for each in entry.deliveries
        ],
    }


def _moment_or_none(seconds: float) -> str | None:
    return timestamp(seconds) if seconds else None


async def _found(services: Inside, identifiers: Sequence[str]) -> list[QueueEntry]:
    """All of them, or ``NotFound``: before anything is done to any."""
    found: list[QueueEntry] = []
    for identifier in dict.fromkeys(identifiers):
        entries = await services.stores.queue.find(QueueFilter(message_id=identifier))
        if not identifier or not entries:
            raise NotFound(f"There is no message {identifier} in the queue.")
        found += entries
    return found


async def _show(services: Inside, options: Options) -> int:
    for entry in await _found(services, options.id):
        _print_entry(entry)
    return DONE


def _print_entry(entry: QueueEntry) -> None:
    message = entry.message
    say(f"Id:          {message.id}", f"Source:      {message.source}")
    say(f"From:        {_sender(entry)}", f"Message-ID:  {message.message_id}")
    say(f"Size:        {message.size_octets} octets")
    say(f"Since:       {moment(message.created_at)}")
    for each in entry.deliveries:
        say("", f"To:          {display_address(each.recipient)}")
        say(f"Goes to:     {display_address(each.target.address)}")
        say(f"By:          {each.target.courier}", f"State:       {each.state.value}")
        if each.hold_reason:
            say(f"Held:        {each.hold_reason}")
        say(f"Attempts:    {each.attempts}, the last {moment(each.last_attempt_at)}")
        say(f"Next:        {moment(each.next_attempt_at)}", f"Last status: {each.last_status}")


async def _retry(services: Inside, options: Options) -> int:
    stores = services.stores
    entries = await _found(services, options.id)
    for entry in entries:
        await stores.queue.release(entry.message.id, services.clock.seconds())
    stores.bus.publish(DUE_TOPIC)
    say("Due now.")
    return DONE


async def _hold(services: Inside, options: Options) -> int:
    for entry in await _found(services, options.id):
        await services.stores.queue.hold(entry.message.id, options.reason)
    say("Held.")
    return DONE


async def _drop(services: Inside, options: Options) -> int:
    entries = await _found(services, options.id)
    octets = sum(entry.message.size_octets for entry in entries)
    people = list(
        dict.fromkeys(
            display_address(each.recipient) for entry in entries for each in entry.deliveries
        )
    )
    confirm(
        options,
        f"Dropping destroys {counted(len(entries), 'message')} of {counted(octets, 'octet')}, "
        f"not delivered to {counted(len(people), 'recipient')} yet: {_some(people)}. "
        "Nobody is told.",
        FOR_GOOD,
    )
    for entry in entries:
        await services.stores.queue.drop(entry.message.id)
    say("Dropped; nobody is told.")
    return DONE


def _some(people: Sequence[str], most: int = 5) -> str:
    rest = len(people) - most
    return ", ".join([*people[:most], *([f"and {rest} more"] if rest > 0 else [])])


_IDS = argument("id", metavar="ID", nargs="+", help="of a message, as queue list shows it")

COMMANDS = (
    Command(
        words="queue list",
        text="what waits, oldest first, a row for each delivery",
        run=_list,
        arguments=(
            argument(
                "--from", dest="sender", metavar="TEXT", help="only senders that contain this"
            ),
            argument("--to", metavar="TEXT", help="only recipients that contain this"),
            argument(
                "--state",
                choices=(DeliveryState.WAITING.value, DeliveryState.HELD.value),
                help="only deliveries in this state",
            ),
            JSON,
        ),
    ),
    Command(
        words="queue show",
        text="everything about messages but their content",
        run=_show,
        arguments=(_IDS,),
    ),
    Command(
        words="queue retry",
        text="try again now; also ends a hold",
        run=_retry,
        arguments=(_IDS,),
    ),
    Command(
        words="queue hold",
        text="keep until released with retry",
        run=_hold,
        arguments=(
            _IDS,
            argument("--reason", default="held by the operator", help="shown in lists"),
        ),
    ),
    Command(
        words="queue drop",
        text="remove messages without a bounce",
        run=_drop,
        arguments=(_IDS, YES),
    ),
)
