"""
The walk from an address to everything that mail for it reaches.

Each address is looked up once, in the order in which aliases name them. A way that comes back to
an address on itself is a circle and ends there; what others reach is delivered. Nothing is decided
here about mail: a walk collects targets and dead ends, ``routing`` makes an answer of them.
"""

import ipaddress
import urllib.parse
from collections.abc import Collection, Iterable

import attrs

from fe_mail.accounts.claims import chosen_claim
from fe_mail.accounts.glance import Records
from fe_mail.accounts.in_charge import ROLES, domain_admins, mailboxes_of, server_admins
from fe_mail.accounts.patterns import holds_groups, is_pattern, match_pattern, substitute
from fe_mail.model.account import Alias, Domain, RouteRows, User
from fe_mail.model.address import Address, normalize_domain, parse_address
from fe_mail.model.errors import Invalid, NotFound
from fe_mail.model.queue import Target
from fe_mail.model.route import Cause, DeadEnd, Step
from fe_mail.model.status import Status

__all__ = ["MAX_DEPTH", "MAX_LOOKUPS", "Walk", "key_of", "without_needless_tags"]

MAX_DEPTH = 10  # aliases behind aliases
MAX_LOOKUPS = 200  # in all, for one address

# Who set something up wrong may mend it, so until then the sender tries again: RFC 3463 §3.4, §3.5.
NOWHERE = Status(451, "4.3.5", "The address leads nowhere at the moment. Try again later.")
CIRCLE = Status(451, "4.4.6", "The address is forwarded in a circle. Try again later.")
_STATUSES = {
    Cause.LOOP: CIRCLE,
    Cause.TOO_DEEP: CIRCLE,
    Cause.TOO_MANY: Status(452, "4.5.3", "The address has too many targets."),
    Cause.UNKNOWN: NOWHERE,
    Cause.BROKEN: NOWHERE,
    Cause.EMPTY: NOWHERE,
    Cause.NOBODY: Status(451, "4.3.5", "Nobody in charge can be reached. Try again later."),
    Cause.NOT_READY: Status(450, "4.2.1", "This mailbox is not ready yet."),
    Cause.PENDING: Status(450, "4.2.1", "The recipient has not agreed yet. Try again later."),
}
UNKNOWN = Status(550, "5.1.1", "No such address here.")
DISABLED = Status(550, "5.1.1", "This address is disabled.")
# Not 421, which ends the connection, and with it the message for all other recipients.
DISABLED_FOR_NOW = Status(450, "4.2.1", "This address is disabled. Try again later.")

Matches = tuple[tuple[Alias, tuple[str, ...]], ...]  # aliases, with the groups of a regex


@attrs.define(kw_only=True)
class Walk:
    """
    ``own_hosts`` are the names of the server itself, where only ``postmaster`` and ``abuse`` live.

    ``claim_id`` is a claim on a domain that counts for this walk whether it does for mail or not,
    ``candidate`` an alias that is not stored like this, but might be.
    """

    accounts: Records
    own_hosts: Collection[str] = ()
    claim_id: str = ""
    candidate: Alias | None = None
    max_forwarded: int = 0  # of the domain that was asked about, 0: the server's
    targets: dict[Target, int] = attrs.field(factory=dict)
    dead_ends: list[DeadEnd] = attrs.field(factory=list)
    steps: list[Step] = attrs.field(factory=list)
    _done: dict[str, bool] = attrs.field(factory=dict, init=False)

    async def begin_with_people(self, address: Address) -> bool:
        """From postmaster or abuse, as if no alias took their mail."""
        claim = await self._claim(address)
        domain = claim.domain if claim else None
        self.steps.append(Step(address=key_of(address), domain=domain))
        return await self._reach_somebody(domain, address, 0)

    async def begin(self, address: Address) -> bool:
        """Walk on from here. False: the address is none of ours."""
        claim = await self._claim(address)
        self.steps.append(Step(address=key_of(address), domain=claim.domain if claim else None))
        if claim is not None:
            self.max_forwarded = claim.domain.max_recipients_per_alias
            await self._take(claim, address, 0)
        elif self._is_ours(address) and address.base in ROLES:
            await self._reach_somebody(None, address, 0)
        else:
            return False
        return True

    async def begin_with(self, domain: Domain, alias: Alias, address: Address) -> None:
        """From an alias of the domain that has this very name, as if it were stored like this."""
        if await self._is_banned(alias):
            await self.begin(address)
            return
        self.max_forwarded = domain.max_recipients_per_alias
        self.steps.append(Step(address=key_of(address), domain=domain))
        await self._take_by(((alias, ()),), domain, address, 0)

    async def begin_behind(self, domain: Domain, alias: Alias, address: Address) -> None:
        """From an alias that takes many names, as if mail for ``address`` had come to it."""
        self.max_forwarded = domain.max_recipients_per_alias
        owners = frozenset({alias.user_id})
        self.steps.append(Step(address=key_of(address), domain=domain, owners=owners))
        await self._deliver_to(alias, None, address, 0)

    # Looking up ---------------------------------------------------------------------------------

    async def _claim(self, address: Address) -> RouteRows | None:
        rows = await self.accounts.route_rows(address.base, address.domain)
        assumed = next((row for row in rows if row.domain.id == self.claim_id), None)
        chosen = assumed or chosen_claim(rows)
        if chosen is None or self.candidate is None or chosen.domain.id != self.candidate.domain_id:
            return chosen
        return _with(chosen, self.candidate, address.base)

    async def _matches(self, claim: RouteRows, address: Address) -> Matches:
        """Those that take the address."""
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
            return (await self.accounts.user(alias.user_id)).is_banned
        except NotFound:
            return True

    # Walking: everything answers whether mail arrives somewhere ---------------------------------

    async def _take(self, claim: RouteRows, address: Address, place: int) -> bool:
        """Collect the targets of an address in a claimed domain."""
        return await self._take_by(
            await self._matches(claim, address), claim.domain, address, place
        )

    async def _take_by(
        self, matches: Matches, domain: Domain, address: Address, place: int
    ) -> bool:
        self.steps[place] = attrs.evolve(
            self.steps[place],
            owners=frozenset(alias.user_id for alias, _ in matches),
            taken_by=tuple(alias.name for alias, _ in matches),
        )
        found = False
        for alias, groups in matches:
            found = await self._deliver_to(alias, groups, address, place) or found
        if not found and address.base in ROLES:
            return await self._reach_somebody(domain, address, place)
        if not matches:
            self._end(Cause.UNKNOWN, place, status=NOWHERE if place else UNKNOWN)
        return found

    async def _deliver_to(
        self, alias: Alias, groups: tuple[str, ...] | None, address: Address, place: int
    ) -> bool:
        """``groups`` None: those of any match, so what holds one leads somewhere or not."""
        if not alias.is_enabled:
            return self._end_disabled(alias.error_code_if_disabled, place)
        found = False
        if alias.has_imap and alias.sealing_key:
            found = self._add("local", alias.address, place, alias.domain_id, alias.id)
        elif alias.has_imap:
            self._end(Cause.NOT_READY, place)
        elif not alias.recipients:
            self._end(Cause.EMPTY, place)
        usable = _usable_recipients(alias)
        for recipient in alias.recipients:
            if recipient not in usable:
                self._end(Cause.PENDING, place, recipient)
            elif groups is None and is_pattern(alias.name) and holds_groups(recipient):
                found = True
            else:
                found = await self._hand_on(alias, recipient, groups or (), address, place) or found
        return found

    async def _hand_on(
        self, alias: Alias, recipient: str, groups: tuple[str, ...], address: Address, place: int
    ) -> bool:
        if recipient.lower().startswith(("http://", "https://")):
            url = substitute(recipient, groups, _quote)
            return self._add("webhook", url, place, alias.domain_id, alias.id)
        text = substitute(recipient, groups)
        try:
            target = _target(text, address)
        except Invalid:
            return self._end(Cause.BROKEN, place, text)
        return await self._go(target, place, alias.domain_id)

    async def _go(self, target: Address, parent: int, domain_id: str) -> bool:
        """On to an address; ``domain_id`` is the hosted domain that sends it there."""
        key = key_of(target)
        way = self._way(parent)
        if key in {self.steps[number].address for number in way}:
            return self._end(Cause.LOOP, parent, key)
        if key in self._done:
            return self._done[key]
        if len(self.steps) >= MAX_LOOKUPS:
            return self._end(Cause.TOO_MANY, parent, key)
        claim = await self._claim(target)
        place = len(self.steps)
        self.steps.append(Step(address=key, parent=parent, domain=claim.domain if claim else None))
        if claim is None and not self._is_ours(target):
            # Another tag of the same foreign address is another target.
            return self._add("forward", str(target), place, domain_id)
        if len(way) > MAX_DEPTH:
            return self._end(Cause.TOO_DEEP, parent, key)
        if claim is not None:
            found = await self._take(claim, target, place)
        elif target.base in ROLES:
            found = await self._reach_somebody(None, target, place)
        else:
            found = self._end(Cause.UNKNOWN, place)
        self._done[key] = found
        return found

    def _way(self, place: int) -> list[int]:
        """The numbers of the steps that led here."""
        way = []
        while place >= 0:
            way.append(place)
            place = self.steps[place].parent
        return way

    def _is_ours(self, address: Address) -> bool:
        return address.domain in self.own_hosts

    # People in charge ---------------------------------------------------------------------------

    async def _reach_somebody(self, domain: Domain | None, address: Address, place: int) -> bool:
        """
        The first in charge whom mail reaches: admins of the domain, then of the server, by their
        addresses; if none of these leads anywhere, into a mailbox of theirs.
        """
        end = len(self.dead_ends)
        ours = await server_admins(self.accounts)
        theirs = await domain_admins(self.accounts, domain) if domain else ()
        people = {user.id: user for user in (*theirs, *ours)}
        domain_id = domain.id if domain else ""
        for user in people.values():
            if await self._reach(user, address, place, domain_id):
                self._forget(end, place)
                return True
        self._forget(end, place)
        boxes = [*((user, domain) for user in theirs), *((user, None) for user in ours)]
        for user, within in boxes:
            async for alias in mailboxes_of(self.accounts, user, within):
                return self._add("local", alias.address, place, alias.domain_id, alias.id)
        return self._end(Cause.NOBODY, place)

    def _forget(self, end: int, place: int) -> None:
        """What was tried for people, and that an alias in their place is switched off."""
        self.dead_ends = [
            each
            for each in self.dead_ends[:end]
            if each.step != place or each.cause not in (Cause.DISABLED, Cause.DROPPED)
        ]

    async def _reach(self, user: User, address: Address, place: int, domain_id: str) -> bool:
        try:
            target = _target(user.email, address)
        except Invalid:
            return False
        return await self._go(target, place, domain_id)

    # What was found -----------------------------------------------------------------------------

    def _add(
        self, courier: str, address: str, place: int, domain_id: str, alias_id: str = ""
    ) -> bool:
        """One more target; the same one twice is one."""
        target = Target(courier=courier, address=address, alias_id=alias_id, domain_id=domain_id)
        self.targets.setdefault(target, place)
        return True

    def _end(
        self, cause: Cause, place: int, address: str = "", *, status: Status | None = None
    ) -> bool:
        self.dead_ends.append(
            DeadEnd(
                cause=cause,
                address=address or self.steps[place].address,
                step=place,
                status=status or _STATUSES.get(cause),
            )
        )
        return False

    def overflow(self) -> Status | None:
        """There are too many targets, so there are none."""
        self._end(Cause.TOO_MANY, 0)
        return _STATUSES[Cause.TOO_MANY]

    def _end_disabled(self, code: int, place: int) -> bool:
        if code == 550:
            return self._end(Cause.DISABLED, place, status=DISABLED)
        if code == 421:
            return self._end(Cause.DISABLED, place, status=DISABLED_FOR_NOW)
        return self._end(Cause.DROPPED, place)


def key_of(address: Address) -> str:
    """What two spellings of one address have in common."""
    return f"{address.base}@{address.domain}"


def _with(claim: RouteRows, alias: Alias, local: str) -> RouteRows:
    """The claim as it would be with this alias in it, in the place of the one of the same id."""
    named, catchall = claim.named, claim.catchall
    if alias.name == local or (named is not None and named.id == alias.id):
        named = alias if alias.name == local else None
    if alias.name == "*" or (catchall is not None and catchall.id == alias.id):
        catchall = alias if alias.name == "*" else None
    patterns = tuple(each for each in claim.patterns if each.id != alias.id)
    if is_pattern(alias.name):
        patterns += (alias,)
    return attrs.evolve(claim, named=named, catchall=catchall, patterns=patterns)


def _quote(group: str) -> str:
    return urllib.parse.quote(group, safe="")


def _usable_recipients(alias: Alias) -> Collection[str]:
    if not alias.has_recipient_verification:
        return alias.recipients
    return {*alias.verified_recipients, alias.user_email}


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


def without_needless_tags(targets: Iterable[tuple[Target, int]]) -> dict[Target, int]:
    """``user+tag@x`` goes when ``user@x`` is there too."""
    found = dict(targets)
    forwards = {target.address.lower() for target in found if target.courier == "forward"}
    return {
        target: place
        for target, place in found.items()
        if target.courier != "forward" or not _untagged(target.address) & forwards
    }


def _untagged(address: str) -> set[str]:
    parsed = parse_address(address)
    return {key_of(parsed)} if parsed.tag else set()
