"""
Where an address goes: the one resolver that RCPT, the queue and the web UI ask.

Within a domain the named alias decides; if there is none, every regex alias that matches; if
there is none, the catch-all; and ``postmaster`` of a domain without any goes to its first admin
(RFC 5321 §4.5.1), at the server's own host names to the server's. Recipients at hosted domains
are resolved in turn, so an alias may lead to an alias or a mailbox; loops end, and what they
leave is delivered. A tag (``user+tag``, RFC 5233) plays no part in the look-up and is put on
every e-mail address that mail is forwarded to.

When nothing is left to deliver to, the mildest of the refusals on the way is the answer: mail
comes back later rather than never. Enhanced status codes: RFC 3463 §3.2, §3.3, §3.5.
"""

import ipaddress
import urllib.parse
from collections.abc import Iterable
from typing import Protocol

import attrs

from fe_mail.accounts.claims import chosen_claim
from fe_mail.accounts.patterns import match_pattern, substitute
from fe_mail.model.account import Alias, Domain, RouteRows
from fe_mail.model.address import Address, normalize_domain, parse_address
from fe_mail.model.errors import Invalid, NotFound
from fe_mail.model.page import Query
from fe_mail.model.queue import Target
from fe_mail.model.route import Route
from fe_mail.model.status import Status
from fe_mail.ports import AliasStore, UserStore

__all__ = ["MAX_DEPTH", "MAX_FORWARDED", "MAX_LOOKUPS", "MAX_MAILBOXES", "Router"]

MAX_FORWARDED = 10  # forward and webhook targets of one address
MAX_MAILBOXES = 25  # local targets of one address
MAX_DEPTH = 10  # aliases behind aliases
MAX_LOOKUPS = 200  # in all, for one address

UNKNOWN = Status(550, "5.1.1", "No such address here.")
DISABLED = Status(550, "5.1.1", "This address is disabled.")
DISABLED_FOR_NOW = Status(421, "4.2.1", "This address is disabled. Try again later.")
NOT_READY = Status(450, "4.2.1", "This mailbox is not ready yet.")
BAD_TARGET = Status(550, "5.1.3", "The address is forwarded to nowhere.")
LOOP = Status(550, "5.4.6", "The address is forwarded in a circle.")
TOO_MANY = Status(421, "4.5.3", "The address has too many targets.")


@attrs.define
class _Walk:
    """What was found so far; ``seen`` holds the addresses already looked up."""

    targets: dict[Target, None] = attrs.field(factory=dict)
    refusals: list[Status] = attrs.field(factory=list)
    trail: list[str] = attrs.field(factory=list)
    seen: set[str] = attrs.field(factory=set)
    is_dropped: bool = False
    max_forwarded: int = MAX_FORWARDED

    def add(self, courier: str, address: str, domain_id: str, alias_id: str = "") -> None:
        """One more target; the same one twice is one."""
        target = Target(courier=courier, address=address, alias_id=alias_id, domain_id=domain_id)
        self.targets.setdefault(target)


class RoutingRecords(AliasStore, UserStore, Protocol):
    """What routing asks."""


class Router:
    """
    ``max_forwarded`` is the server's limit where a domain has none of its own; ``own_hosts`` are
    the names of the server itself, where nobody but ``postmaster`` lives.
    """

    def __init__(
        self,
        accounts: RoutingRecords,
        *,
        max_forwarded: int = MAX_FORWARDED,
        own_hosts: Iterable[str] = (),
    ) -> None:
        self._accounts = accounts
        self._max_forwarded = max_forwarded
        self._own_hosts = frozenset(own_hosts)

    async def route(self, address: Address) -> Route:
        """All targets of an address, or why there are none."""
        walk = _Walk(max_forwarded=self._max_forwarded)
        claim = await self._claim(walk, address)
        if claim is not None:
            walk.max_forwarded = claim.domain.max_recipients_per_alias or self._max_forwarded
            await self._follow(walk, claim, address, depth=0)
        elif address.base == "postmaster" and address.domain in self._own_hosts:
            await self._reach_operator(walk, address)
        else:
            return Route(address=str(address), is_hosted=False, trail=tuple(walk.trail))
        return _conclude(walk, address)

    async def _reach_operator(self, walk: _Walk, address: Address) -> None:
        """Whoever registered first runs the server."""
        users = await self._accounts.users(Query(limit=MAX_LOOKUPS))
        admins = [user.email for user in users.items if user.group == "admin"]
        if admins:
            await self._forward(walk, admins[0], address, 0, "")
        else:
            walk.refusals.append(UNKNOWN)

    async def _claim(self, walk: _Walk, address: Address) -> RouteRows | None:
        walk.seen.add(_key(address))
        rows = chosen_claim(await self._accounts.route_rows(address.base, address.domain))
        walk.trail.append(_key(address))
        return rows

    async def _follow(self, walk: _Walk, claim: RouteRows, address: Address, depth: int) -> None:
        """Collect the targets of an address in a claimed domain."""
        matches = await self._matches(claim, address)
        if matches:
            for alias, groups in matches:
                await self._deliver_to(walk, alias, groups, address, depth)
        elif address.base == "postmaster" and (admin := _first_admin(claim.domain)):
            await self._forward(walk, admin, address, depth, claim.domain.id)
        else:
            walk.refusals.append(UNKNOWN)

    async def _matches(
        self, claim: RouteRows, address: Address
    ) -> tuple[tuple[Alias, tuple[str, ...]], ...]:
        """The aliases that take the address, with the groups of a regex."""
        if claim.named is not None and not await self._is_banned(claim.named):
            return ((claim.named, ()),)
        if claim.domain.is_catchall_regex_disabled:
            return ()
        found = [
            (alias, groups)
            for alias in claim.patterns
            if (groups := match_pattern(alias.name, address.base)) is not None
            and not await self._is_banned(alias)
        ]
        if found:
            return tuple(pair for pair in found if pair[0].is_enabled) or tuple(found)
        if claim.catchall is not None and not await self._is_banned(claim.catchall):
            return ((claim.catchall, ()),)
        return ()

    async def _is_banned(self, alias: Alias) -> bool:
        try:
            return (await self._accounts.user(alias.user_id)).is_banned
        except NotFound:
            return True

    async def _deliver_to(
        self,
        walk: _Walk,
        alias: Alias,
        groups: tuple[str, ...],
        address: Address,
        depth: int,
    ) -> None:
        if not alias.is_enabled:
            _refuse_disabled(walk, alias.error_code_if_disabled)
            return
        if alias.has_imap and alias.sealing_key:
            walk.add("local", alias.address, alias.domain_id, alias.id)
        elif alias.has_imap:
            walk.refusals.append(NOT_READY)
        for recipient in _usable_recipients(alias):
            is_url = recipient.lower().startswith(("http://", "https://"))
            if is_url:
                walk.add(
                    "webhook", substitute(recipient, groups, _quote), alias.domain_id, alias.id
                )
            else:
                forwarded = substitute(recipient, groups)
                await self._forward(walk, forwarded, address, depth, alias.domain_id)

    async def _forward(
        self, walk: _Walk, recipient: str, address: Address, depth: int, domain_id: str
    ) -> None:
        """To an e-mail address, or to the same local part at a host, for the domain named."""
        try:
            target = _target(recipient, address)
        except Invalid:
            walk.refusals.append(BAD_TARGET)
            return
        if _key(target) in walk.seen:
            walk.refusals.append(LOOP)
            return
        if len(walk.trail) >= MAX_LOOKUPS:
            walk.refusals.append(TOO_MANY)
            return
        claim = await self._claim(walk, target)
        if claim is None:
            # Another tag of the same foreign address is another target.
            walk.seen.discard(_key(target))
            walk.add("forward", str(target), domain_id)
        elif depth >= MAX_DEPTH:
            walk.refusals.append(LOOP)
        else:
            await self._follow(walk, claim, target, depth + 1)


def _key(address: Address) -> str:
    return f"{address.base}@{address.domain}"


def _quote(group: str) -> str:
    return urllib.parse.quote(group, safe="")


def _usable_recipients(alias: Alias) -> Iterable[str]:
    if not alias.has_recipient_verification:
        return alias.recipients
    verified = {*alias.verified_recipients, alias.user_email}
    return (recipient for recipient in alias.recipients if recipient in verified)


def _target(recipient: str, address: Address) -> Address:
    """What a recipient of an alias stands for when mail came for ``address``."""
    if "@" in recipient:
        target = parse_address(recipient)
        return _tagged(target, address.tag) if address.tag and not target.tag else target
    return Address(address.local, _host(recipient))


def _tagged(target: Address, tag: str) -> Address:
    """
    The target with the sender's tag, unless the two make no address.

    A tag is a wish of the sender's, and the target never asked for it: one that is too long, or
    needs SMTPUTF8 where the target does not (RFC 6531 §3.3), would only send the mail back.
    """
    if target.local.startswith('"') or (target.local.isascii() and not tag.isascii()):
        return target
    try:
        return parse_address(f"{target.local}+{tag}@{target.domain}")
    except Invalid:
        return target


def _host(text: str) -> str:
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return normalize_domain(text)
    return f"[IPv6:{ip}]" if ip.version == 6 else f"[{ip}]"


def _first_admin(domain: Domain) -> str:
    return next((member.email for member in domain.members if member.group == "admin"), "")


def _refuse_disabled(walk: _Walk, code: int) -> None:
    if code == 550:
        walk.refusals.append(DISABLED)
    elif code == 421:
        walk.refusals.append(DISABLED_FOR_NOW)
    else:
        walk.is_dropped = True


def _conclude(walk: _Walk, address: Address) -> Route:
    targets = _without_needless_tags(walk.targets)
    local = sum(target.courier == "local" for target in targets)
    refusal: Status | None = None
    if local > MAX_MAILBOXES or len(targets) - local > walk.max_forwarded:
        refusal, targets = TOO_MANY, ()
    elif not targets:
        refusal = _mildest(walk)
    return Route(
        address=str(address),
        is_hosted=True,
        targets=targets,
        refusal=refusal,
        trail=tuple(walk.trail),
    )


def _without_needless_tags(targets: Iterable[Target]) -> tuple[Target, ...]:
    """``user+tag@x`` goes when ``user@x`` is there too."""
    found = tuple(targets)
    forwards = {target.address.lower() for target in found if target.courier == "forward"}
    return tuple(
        target
        for target in found
        if target.courier != "forward" or not _untagged(target.address) & forwards
    )


def _untagged(address: str) -> set[str]:
    parsed = parse_address(address)
    return {_key(parsed)} if parsed.tag else set()


def _mildest(walk: _Walk) -> Status | None:
    """A temporary refusal, else the silent drop, else the first permanent refusal."""
    for refusal in walk.refusals:
        if refusal.code < 500:
            return refusal
    if walk.is_dropped:
        return None
    return walk.refusals[0] if walk.refusals else BAD_TARGET
