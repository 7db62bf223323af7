"""
Delivery status notifications: failed, delayed, delivered, relayed.

A report is a ``multipart/report`` of a notice for people, a ``message/delivery-status`` for
programs, and what is returned of the original. It goes out with the null reverse-path, and the
caller must never make one for a message that came with it.

RFC 3464 §2 (fields); RFC 3461 §6.2 (what is returned); RFC 6533 (internationalized reports);
RFC 3834 §5, §3.1.
"""

import enum
import re
import secrets
from collections.abc import Iterator

import attrs

from fe_mail.message.compose import (
    Correspondent,
    address_field,
    date_field,
    id_field,
    text_entity,
    text_field,
)
from fe_mail.message.dates import format_date
from fe_mail.message.headers import first_value, header_bounds, header_fields
from fe_mail.message.words import decode_words
from fe_mail.model.address import Address

__all__ = ["MAX_RETURNED_OCTETS", "Action", "RecipientReport", "Report", "compose_report"]

# Of a bigger original only the header is returned, whatever was asked (RFC 3461 §6.2 allows it).
MAX_RETURNED_OCTETS = 1 << 20
# The type of what we say ourselves: "smtp" is for answers of others (RFC 3464 §2.3.6).
OWN_DIAGNOSTIC = "X-fe-mail"
# Of one value, so that with its name it fits in a line (RFC 5322 §2.1.1).
MAX_VALUE_OCTETS = 950

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class Action(enum.Enum):
    """RFC 3464 §2.3.3."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"


@attrs.frozen(kw_only=True)
class RecipientReport:
    """
    What became of one recipient. ``said`` is the answer that the host ``remote`` gave, word for
    word; ``diagnostic`` is what we say ourselves.
    """

    recipient: str
    action: Action
    status: str  # "5.1.1" (RFC 3463)
    diagnostic: str = ""
    remote: str = ""
    said: str = ""
    original_recipient: str = ""  # ORCPT, "rfc822;..."
    last_attempt_at: float = 0.0
    will_retry_until: float = 0.0


@attrs.frozen(kw_only=True)
class Report:
    """One notification, about recipients of one message that share an action."""

    to: Address
    reporting_mta: str
    date: float
    message_id: str
    arrived_at: float
    recipients: tuple[RecipientReport, ...]
    envelope_id: str = ""
    return_full: bool = True  # RET=FULL
    author_domain: str = ""  # of the From field; empty: the reporting MTA's


_TITLES = {
    Action.FAILED: "Failure",
    Action.DELAYED: "Delayed",
    Action.DELIVERED: "Success",
    Action.RELAYED: "Relayed",
}
_SENTENCES = {
    Action.FAILED: "Your message could not be delivered to the recipients below.",
    Action.DELAYED: (
        "Your message has not been delivered to the recipients below yet.\n"
        "We keep trying; there is no need to send it again."
    ),
    Action.DELIVERED: "Your message has been delivered to the recipients below.",
    Action.RELAYED: (
        "Your message has been handed on for the recipients below, to a server that does not\n"
        "confirm deliveries. You may hear no more."
    ),
}


def compose_report(report: Report, original: bytes) -> bytes:
    """The notification; of ``original`` at least the header must be given."""
    boundary = f"report-{secrets.token_hex(16)}"
    status = _status_part(report)
    parts = [text_entity(_notice(report)), status, _returned_part(report, original)]
    is_8bit = not all(part.isascii() for part in parts)
    separator = f"\r\n--{boundary}\r\n".encode("ascii")
    return (
        _header(report, original)
        + b"MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n"
        + f'\tboundary="{boundary}"\r\n'.encode("ascii")
        + (b"Content-Transfer-Encoding: 8bit\r\n" if is_8bit else b"")
        + b"\r\nThis is a delivery status notification in MIME format."
        + b"".join(separator + part for part in parts)
        + f"\r\n--{boundary}--\r\n".encode("ascii")
    )


def _action(report: Report) -> Action:
    return report.recipients[0].action if report.recipients else Action.FAILED


def _header(report: Report, original: bytes) -> bytes:
    action = _action(report)
    domain = report.author_domain or report.reporting_mta
    author = Correspondent(Address("mailer-daemon", domain), "Mail Delivery System")
    names = ", ".join(entry.recipient for entry in report.recipients)
    is_bad = action in (Action.FAILED, Action.DELAYED)
    return b"".join(
        (
            date_field(report.date),
            address_field("From", [author]),
            address_field("To", [Correspondent(report.to)]),
            text_field("Subject", f"Delivery Status Notification ({_TITLES[action]})"),
            id_field("Message-ID", [report.message_id]),
            *_reference_fields(original),
            text_field("X-Failed-Recipients" if is_bad else "X-Successful-Recipients", names),
            text_field("X-DSN-Envelope-ID", report.envelope_id) if report.envelope_id else b"",
            *(_delay_fields(report) if action is Action.DELAYED else ()),
            b"Auto-Submitted: auto-replied\r\n"
            b"X-Auto-Response-Suppress: All\r\n"
            b"Precedence: auto_reply\r\n",
        )
    )


def _reference_fields(original: bytes) -> Iterator[bytes]:
    fields = header_fields(original[: header_bounds(original)[0]])
    message_id = decode_words(first_value(fields, b"message-id") or b"").strip()
    for name in ("In-Reply-To", "References", "X-Original-Message-ID"):
        yield id_field(name, [message_id])


def _delay_fields(report: Report) -> Iterator[bytes]:
    last_attempt = max((entry.last_attempt_at for entry in report.recipients), default=0.0)
    retry_until = max((entry.will_retry_until for entry in report.recipients), default=0.0)
    if last_attempt:
        yield date_field(last_attempt, "Last-Attempt-Date")
    if retry_until:
        yield date_field(retry_until, "Will-Retry-Until")


def _notice(report: Report) -> str:
    lines = [f"This is the mail system at {report.reporting_mta}.", ""]
    lines += [_SENTENCES[_action(report)], ""]
    for entry in report.recipients:
        lines.append(f"  {_clean(entry.recipient)}")
        if entry.diagnostic:
            lines.append(f"    {_clean(entry.diagnostic)}")
        if entry.said:
            lines.append(f"    {_clean(entry.remote)} said: {_clean(entry.said)}")
        if entry.will_retry_until:
            lines.append(f"    We try until {format_date(entry.will_retry_until)}.")
    return "\n".join(lines) + "\n"


def _clean(text: str) -> str:
    octets = _CONTROLS.sub(" ", text).encode("utf-8", "replace")
    return octets[:MAX_VALUE_OCTETS].decode("utf-8", "ignore")


def _status_part(report: Report) -> bytes:
    groups = [_message_fields(report), *(_recipient_fields(one) for one in report.recipients)]
    text = "\r\n".join("".join(f"{line}\r\n" for line in group) for group in groups)
    if text.isascii():
        return b"Content-Type: message/delivery-status\r\n\r\n" + text.encode("ascii")
    return (
        b"Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        + text.encode("utf-8", "replace")
    )


def _message_fields(report: Report) -> list[str]:
    lines = [f"Reporting-MTA: dns; {_clean(report.reporting_mta)}"]
    if report.envelope_id:
        lines.append(f"Original-Envelope-Id: {_clean(report.envelope_id)}")
    lines.append(f"Arrival-Date: {format_date(report.arrived_at)}")
    return lines


def _recipient_fields(entry: RecipientReport) -> list[str]:
    kind = "rfc822" if entry.recipient.isascii() else "utf-8"
    lines = []
    if entry.original_recipient:
        lines.append(f"Original-Recipient: {_clean(entry.original_recipient)}")
    lines.append(f"Final-Recipient: {kind}; {_clean(entry.recipient)}")
    lines.append(f"Action: {entry.action.value}")
    lines.append(f"Status: {_clean(entry.status)}")
    if entry.said:
        lines.append(f"Remote-MTA: dns; {_clean(entry.remote)}")
        lines.append(f"Diagnostic-Code: smtp; {_clean(entry.said)}")
    elif entry.diagnostic:
        lines.append(f"Diagnostic-Code: {OWN_DIAGNOSTIC}; {_clean(entry.diagnostic)}")
    if entry.last_attempt_at:
        lines.append(f"Last-Attempt-Date: {format_date(entry.last_attempt_at)}")
    if entry.will_retry_until:
        lines.append(f"Will-Retry-Until: {format_date(entry.will_retry_until)}")
    return lines


def _returned_part(report: Report, original: bytes) -> bytes:
    body_start = header_bounds(original)[0]
    whole = report.return_full and len(original) <= MAX_RETURNED_OCTETS
    content = original if whole else original[:body_start]
    is_global = not original[:body_start].isascii()
    if whole:
        kind = b"message/global" if is_global else b"message/rfc822"
    else:
        kind = b"message/global-headers" if is_global else b"text/rfc822-headers"
    encoding = b"" if content.isascii() else b"Content-Transfer-Encoding: 8bit\r\n"
    return b"Content-Type: " + kind + b"\r\n" + encoding + b"\r\n" + content
