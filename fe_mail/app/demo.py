"""
Demo mode: a domain, an admin, two mailboxes with a welcome message each, and ``demo.json``.

Mail between hosted domains is delivered for real, through the MX and the queue (``demo_names``
answers for the DNS). Mail for anybody else is held, but for programs on this machine.
``demo.json`` is there only while the demo runs; ``accounts.json`` keeps its passwords between runs,
``ports.json`` its ports.
"""

import json
import os
import secrets
import sys
import urllib.parse
from collections.abc import Mapping
from email.utils import formatdate
from pathlib import Path
from typing import Any

from fe_mail.app.config import Config
from fe_mail.app.demo_settings import (
    ACCOUNTS_NAME,
    ADMIN_EMAIL,
    DEMO_ALIASES,
    DEMO_DOMAIN,
    PORTS_NAME,
)
from fe_mail.app.edge_table import edges
from fe_mail.app.wiring import Inside
from fe_mail.model.account import Domain, User
from fe_mail.model.address import Address
from fe_mail.model.errors import NotFound, Unavailable
from fe_mail.model.mailbox import Delivery, NewMessage
from fe_mail.model.network import parse_ip
from fe_mail.model.queue import Target

__all__ = ["HOLD_REASON", "announce", "forget_facts", "hold_reason", "prepare"]

FACTS_NAME = "demo.json"
HOLD_REASON = "demo"
LOOPBACK = "127.0.0.1"
# The listeners by demo.json's names.
LISTENERS = {edge.demo_name: edge.name for edge in edges() if edge.demo_name}
WELCOME = """\
From: fe-mail <admin@demo.test>
To: {address}
Subject: Welcome, {name}
Date: {date}
Message-ID: <welcome-{name}@demo.test>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 7bit

Hello {name},

this is your mailbox. It is encrypted: its key opens with your password or
with its recovery code, and with nothing else.

Write to alice@demo.test or bob@demo.test: your message goes through the
queue and the MX of this server, as real mail does. Mail to anybody else
is held in the queue, so nothing leaves this machine.
"""


def hold_reason(_: Address, target: Target) -> str:
    """Nothing leaves this machine; a program on it may be told about mail."""
    if target.courier == "webhook" and _is_here(target.address):
        return ""
    return HOLD_REASON


def _is_here(url: str) -> bool:
    host = urllib.parse.urlsplit(url).hostname or ""
    ip = parse_ip(host)
    return host == "localhost" if ip is None else ip.is_loopback


def forget_facts(config: Config) -> None:
    """Remove ``demo.json``: it tells that every listener accepts connections."""
    (config.directory / FACTS_NAME).unlink(missing_ok=True)


# Accounts --------------------------------------------------------------------------------------


async def prepare(services: Inside) -> dict[str, Any]:
    """Make what is missing; the accounts with their passwords, kept in ``accounts.json``."""
    path = services.config.directory / ACCOUNTS_NAME
    try:
        admin = await services.stores.accounts.user_by_email(ADMIN_EMAIL)
    except NotFound:
        made = await _make(services)
        _write(path, made)
        return made
    if not path.exists():
        raise Unavailable(f"{path} is gone, and with it the demo's passwords: start with --fresh.")
    known: dict[str, Any] = json.loads(path.read_text("utf-8"))
    known["api_token"] = await services.users.api_token(admin)
    return known


async def _make(services: Inside) -> dict[str, Any]:
    password = secrets.token_urlsafe(12)
    admin = await services.users.register(ADMIN_EMAIL, password)
    domain = await services.domains.create(admin, DEMO_DOMAIN, catchall=False)
    domain = (await services.domains.verify(admin, domain)).domain
    aliases = [await _make_alias(services, admin, domain, name) for name in DEMO_ALIASES]
    own = {"name": ADMIN_EMAIL.partition("@")[0], "recipients": [aliases[0]["address"]]}
    await services.aliases.create(admin, domain, own)  # the account's address reaches somebody
    return {
        "api_token": await services.users.api_token(admin),
        "admin": {"email": ADMIN_EMAIL, "password": password},
        "aliases": aliases,
    }


async def _make_alias(services: Inside, admin: User, domain: Domain, name: str) -> dict[str, str]:
    fields = {"name": name, "recipients": [], "has_imap": True}
    alias = await services.aliases.create(admin, domain, fields)
    made = await services.aliases.generate_password(admin, domain, alias)
    alias = await services.stores.accounts.alias(alias.id)
    text = WELCOME.format(
        name=name.capitalize(), address=alias.address, date=formatdate(services.clock.seconds())
    )
    await services.stores.mailboxes.deliver(
        alias.id,
        alias.sealing_key,
        Delivery(
            id=f"welcome-{alias.id}",
            message=NewMessage(
                raw=text.replace("\n", "\r\n").encode("utf-8"),
                received_at=services.clock.seconds(),
            ),
        ),
    )
    return {
        "address": made.username,
        "password": made.password,
        "recovery_code": made.recovery_code,
    }


# What is told ----------------------------------------------------------------------------------


def announce(config: Config, ports: Mapping[str, int], accounts: dict[str, Any]) -> None:
    """Write ``demo.json`` and print the table."""
    facts: dict[str, Any] = {
        "web": config.web.url,
        "api": config.web.api_url,
        **accounts,
        "ca": str(config.ssl_path / "fullchain.pem"),
    }
    for name, listener in LISTENERS.items():
        if listener in ports:
            facts[name] = {"host": LOOPBACK, "port": ports[listener]}
    path = config.directory / FACTS_NAME
    _write(path, facts)
    kept = {edge.name: config.listen.port(edge.name) for edge in edges() if edge.demo_port}
    _write(config.directory / PORTS_NAME, kept)
    terminal = sys.__stdout__ or sys.stdout  # the table is for a person, not for the log
    print(_table(facts, path), file=terminal, flush=True)


def _table(facts: Mapping[str, Any], path: Path) -> str:
    """The short table for a person."""
    alice, bob = facts["aliases"][:2]
    ports = {name: facts[name]["port"] for name in LISTENERS if name in facts}
    lines = [
        "",
        f"  Web UI      {facts['web']}",
        f"              {facts['admin']['email']}   {facts['admin']['password']}",
        f"  API         {facts['api']}   token {facts['api_token']}",
        f"  Mailboxes   {alice['address']}   {alice['password']}",
        f"              {bob['address']}     {bob['password']}",
        "  Ports       " + "   ".join(f"{name} {port}" for name, port in ports.items()),
        f"  All of it   {path}",
        f"  Stop        Ctrl-C, or kill {os.getpid()}; mail, passwords and ports stay as they are",
        f"  Forget      start again with --fresh (make: ARGS=--fresh), or remove {path.parent}",
        "",
    ]
    if "submission" in ports:
        lines += [
            f"  Send:  swaks --server 127.0.0.1:{ports['submission']} --tls --auth PLAIN \\",
            f"           --auth-user {alice['address']} \\",
            f"           --auth-password {alice['password']} --from {alice['address']} "
            f"--to {bob['address']}",
        ]
    if "imaps" in ports:
        lines.append(
            f"  Read:  curl --cacert {facts['ca']} --user {bob['address']}:{bob['password']} "
            f"'imaps://localhost:{ports['imaps']}/INBOX;MAILINDEX=1'"
        )
    lines += [f"  API:   curl --user {facts['api_token']}: {facts['api']}/v1/domains", ""]
    return "\n".join(lines)


def _write(path: Path, facts: Mapping[str, Any]) -> None:
    """JSON that only its owner can read, complete or not there."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(facts, file, indent=2)
        file.write("\n")
    temporary.replace(path)
