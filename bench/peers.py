"""
Peers to compare with, run from a directory of their own: Postfix and Dovecot, where installed.

Both are configured as a careful administrator would: Postfix fsyncs its queue, Dovecot fsyncs
whatever it writes (``mail_fsync=always``) into a maildir, and speaks TLS as we do. Dovecot can be
tuned for speed instead: fsync where mail would be lost only, processes that serve many sessions.
Postfix hands its mail to Dovecot's LMTP, or throws it away when it stands alone.
"""

import contextlib
import os
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from bench.usage import descendants

__all__ = ["Dovecot", "Postfix"]

START_SECONDS = 15.0
PORTS = 20_000, 32_000
TUNED = "service_count = 0\n  process_min_avail = 4"  # Dovecot's words for reuse of processes


def _free_port() -> int:
    """Below those that the kernel gives to connections, so that none takes it before the peer."""
    while True:
        port = random.randrange(*PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            return port


def _wait(port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


class Dovecot:
    """``imap``, ``pop3`` and ``lmtp`` are its ports; any user of ``demo.test`` has one password."""

    password = "secret"  # of a server that lives for one benchmark

    def __init__(self, chain: Path, is_tuned: bool = False) -> None:
        """``chain`` is a certificate in PEM, with ``privkey.pem`` beside it."""
        self._chain = chain
        self._fsync = "optimized" if is_tuned else "always"
        self._sessions = TUNED if is_tuned else ""
        self.directory = Path(tempfile.mkdtemp(prefix="bench-dovecot-"))
        self.imap, self.pop3, self.lmtp = _free_port(), _free_port(), _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def is_available() -> bool:
        """Installed, and we may start it; its LMTP comes as a package of its own."""
        return shutil.which("dovecot") is not None and os.geteuid() == 0

    def start(self) -> None:
        """Run in the foreground."""
        user = pwd.getpwnam("nobody")
        mail = self.directory / "mail"
        mail.mkdir()
        os.chown(mail, user.pw_uid, user.pw_gid)
        self.directory.chmod(0o755)
        configuration = self.directory / "dovecot.conf"
        configuration.write_text(self._settings(user))
        self._process = subprocess.Popen(["dovecot", "-F", "-c", str(configuration)])
        _wait(self.imap)

    def _settings(self, user: pwd.struct_passwd) -> str:
        """Its dovecot.conf, with mail that belongs to ``user``."""
        mail = self.directory / "mail"
        return f"""
base_dir = {self.directory}/run
log_path = {self.directory}/log
protocols = imap pop3 lmtp
ssl = required
ssl_cert = <{self._chain}
ssl_key = <{self._chain.with_name("privkey.pem")}
mail_location = maildir:{mail}/%n
mail_fsync = {self._fsync}
mail_max_userip_connections = 10000
default_client_limit = 4000
auth_username_format = %n
postmaster_address = postmaster@demo.test
first_valid_uid = 1
passdb {{
  driver = static
  args = password={self.password}
}}
userdb {{
  driver = static
  args = uid={user.pw_uid} gid={user.pw_gid} home={mail}/%n
}}
service imap {{
  {self._sessions}
}}
service imap-login {{
  {self._sessions}
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = {self.imap}
    ssl = yes
  }}
}}
service lmtp {{
  client_limit = 1
  process_min_avail = 4
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {self.lmtp}
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = 0
  }}
  inet_listener pop3s {{
    port = {self.pop3}
    ssl = yes
  }}
}}
"""

    @property
    def processes(self) -> list[int]:
        """The ids of all its processes."""
        assert self._process is not None
        return [self._process.pid, *descendants(self._process.pid)]

    def stop(self) -> None:
        """End it and remove its files."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


class Postfix:
    """``port`` takes mail for ``demo.test``, for the LMTP server on ``lmtp`` or for nobody (0)."""

    def __init__(self, lmtp: int = 0) -> None:
        self._transport = f"lmtp:inet:127.0.0.1:{lmtp}" if lmtp else "discard"
        self.directory = Path(tempfile.mkdtemp(prefix="bench-postfix-"))
        self.port = _free_port()

    @staticmethod
    def is_available() -> bool:
        """Installed, and we may start it."""
        return shutil.which("postfix") is not None and os.geteuid() == 0

    def start(self) -> None:
        """As daemons; ``postfix start`` returns when the master runs."""
        self.directory.chmod(0o755)
        etc = self.directory / "etc"
        etc.mkdir()
        for part in ("spool", "data"):
            (self.directory / part).mkdir()
        owner = pwd.getpwnam("postfix")
        os.chown(self.directory / "data", owner.pw_uid, owner.pw_gid)
        (etc / "main.cf").write_text(
            f"""
compatibility_level = 3.6
queue_directory = {self.directory}/spool
data_directory = {self.directory}/data
myhostname = mx.demo.test
mydestination =
relay_domains = demo.test
relay_transport = {self._transport}
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
maillog_file = {self.directory}/maillog
maillog_file_prefixes = {self.directory}
"""
        )
        original = Path("/etc/postfix/master.cf").read_text()
        lines = [
            f"{self.port} inet n - n - - smtpd" if line.startswith("smtp      inet") else line
            for line in original.splitlines()
        ]
        (etc / "master.cf").write_text("\n".join(lines) + "\n")
        subprocess.run(["postfix", "-c", str(etc), "start"], check=True, capture_output=True)
        _wait(self.port)

    @property
    def processes(self) -> list[int]:
        """The ids of all its processes."""
        master = int((self.directory / "spool" / "pid" / "master.pid").read_text())
        return [master, *descendants(master)]

    def stop(self) -> None:
        """End it and remove its files."""
        subprocess.run(
            ["postfix", "-c", str(self.directory / "etc"), "stop"], check=False, capture_output=True
        )
        shutil.rmtree(self.directory, ignore_errors=True)
