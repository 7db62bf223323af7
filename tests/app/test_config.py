"""The configuration: where values come from, what is refused, how secrets are made."""

import contextlib
import socket
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

import fe_mail.app
from fe_mail.app.config import Config, ConfigError, describe, example, load
from fe_mail.app.demo_settings import demo_environment
from fe_mail.app.edge_table import edges
from fe_mail.app.env_file import read_env
from fe_mail.app.variables import variables

GOOD = "a" * 32


class ReadEnvTests(SynchronousTestCase):
    """The syntax of ``.env``."""

    def test_forms(self) -> None:
        """Quotes, comments, blank lines, export and blanks around the sign."""
        values, problems = read_env(
            b"# comment\n\nA=1\nexport B = two # why\nC='three # four'\nD=\"\"\nE=x#y\n"
        )
        self.assertEqual(values, {"A": "1", "B": "two", "C": "three # four", "D": "", "E": "x#y"})
        self.assertEqual(problems, [])

    def test_nonsense_is_named_by_its_line(self) -> None:
        """A line that is no assignment is a problem, not an exception."""
        _, problems = read_env(b"A=1\nwhat is this\n")
        self.assertEqual(problems, ["Line 2 of .env is not of the form NAME=value."])

    def test_as_editors_save_it(self) -> None:
        """A byte order mark and other line ends change nothing; text may be of any script."""
        for end in ("\n", "\r\n", "\r"):
            text = end.join(("A=1", "", "B='Blå mail' # post", "C=x\u2028y", ""))
            for mark in (b"", b"\xef\xbb\xbf"):
                values, problems = read_env(mark + text.encode())
                self.assertEqual(problems, [])
                self.assertEqual(values, {"A": "1", "B": "Blå mail", "C": "x\u2028y"})

    def test_what_is_no_text(self) -> None:
        """Named by its line; the other lines count."""
        values, problems = read_env(b"A=1\nB=bl\xe5\n\0\0\0\nC=3\n", "/x/.env")
        self.assertEqual(values, {"A": "1", "C": "3"})
        self.assertEqual(
            problems,
            [
                "Line 2 of /x/.env is not text in UTF-8.",
                "Line 3 of /x/.env holds NUL octets, as after a crash.",
            ],
        )

    def test_utf_16(self) -> None:
        """Said once, not for every line."""
        for codec in ("utf-16-le", "utf-16-be"):
            _, problems = read_env("\ufeffA=1\nB=2\n".encode(codec))
            self.assertEqual(problems, [".env is written in UTF-16: save it as UTF-8."])

    @given(st.binary(max_size=300))
    @settings(max_examples=100, deadline=None)
    def test_never_raises(self, octets: bytes) -> None:
        """Any octets give values and problems."""
        read_env(octets)


class LoadTests(SynchronousTestCase):
    """From text to values."""

    def setUp(self) -> None:
        """A directory for ``.env``."""
        self.directory = Path(tempfile.mkdtemp())

    def env(self, text: str) -> None:
        """Write ``.env``."""
        (self.directory / ".env").write_text(text)

    def problems(self, **environ: str) -> list[str]:
        """What is refused."""
        return self.assertRaises(ConfigError, load, self.directory, environ).problems

    def load(self, **environ: str) -> Config:
        """What is accepted."""
        return load(self.directory, environ)

    def test_where_the_domain_is_set(self) -> None:
        """Whoever starts in the wrong directory learns which one was looked into."""
        path = self.directory / ".env"
        self.assertEqual(
            self.problems(),
            [f"DOMAIN must be set in {path}, for example by the line DOMAIN=example.org."],
        )

    def test_defaults_follow_the_domain(self) -> None:
        """One variable is enough."""
        config = self.load(DOMAIN="Example.ORG")
        self.assertEqual(config.names.mx_host, "mx.example.org")
        self.assertEqual(config.names.exchange_domains, ("mx.example.org",))
        self.assertEqual(config.limits.message_octets, 50 * 1024 * 1024)
        self.assertEqual(config.storage.log_retention_seconds, 7 * 86400)
        self.assertEqual(config.data_path, self.directory / "sqlite-data")

    def test_names_that_are_ours(self) -> None:
        """In whose name no results come from outside (RFC 8601 §5)."""
        config = self.load(DOMAIN="example.org", SMTP_EXCHANGE_DOMAINS="mx1.example.net")
        for name in ("example.org", "mx.example.org", "smtp.example.org", "mx1.example.net"):
            self.assertIn(name, config.names.trusted)

    def test_environment_wins(self) -> None:
        """Over ``.env``, variable by variable."""
        self.env("DOMAIN=one.test\nMX_PORT=2500\n")
        config = self.load(DOMAIN="two.test")
        self.assertEqual((config.names.domain, config.listen.mx_port), ("two.test", 2500))

    def test_trusted_proxies(self) -> None:
        """Those of this host, unless others are named; never everybody."""
        self.assertEqual(
            self.load(DOMAIN="a.test").web.trusted_proxies, ("127.0.0.1/32", "::1/128")
        )
        named = self.load(DOMAIN="a.test", TRUSTED_PROXIES="10.1.0.0/16, 192.0.2.1")
        self.assertEqual(named.web.trusted_proxies, ("10.1.0.0/16", "192.0.2.1/32"))

    def test_nobody_trusts_the_world(self) -> None:
        """In no spelling: halves, parts, IPv4 inside IPv6, everything that is handed out."""
        eighths = ", ".join(f"{first}.0.0.0/3" for first in range(0, 256, 32))
        networks = ", ".join(f"{first}.0.0.0/8" for first in range(256))
        for spelling in (
            "::/0",
            "0.0.0.0/0",
            "0.0.0.0/0.0.0.0",
            "192.0.2.1/0",
            "0.0.0.0/1, 128.0.0.0/1",
            eighths,
            networks,
            "::ffff:0:0/96",
            "::ffff:0.0.0.0/97 ::ffff:128.0.0.0/97",
            "::/1, 8000::/1",
            "2000::/3",
            "64:ff9b::/96",
            "2002::/16",
            "10.0.0.0/8, ::/0",
        ):
            for name in ("TRUSTED_PROXIES", "PROXY_PROTOCOL_FROM", "WEBHOOK_NETWORKS"):
                with self.subTest(name=name, spelling=spelling):
                    (problem,) = self.problems(**{"DOMAIN": "a.test", name: spelling})
                    self.assertIn("whole internet", problem)

    def test_own_networks(self) -> None:
        """The widest that people have; IPv4 inside IPv6 is IPv4, as peers are compared."""
        for spelling, read in (
            ("10.0.0.0/8, 10.1.0.0/16", ("10.0.0.0/8", "10.1.0.0/16")),
            ("::ffff:10.0.0.0/104", ("10.0.0.0/8",)),
            ("::ffff:192.0.2.1", ("192.0.2.1/32",)),
            ("fc00::/7 fe80::/10", ("fc00::/7", "fe80::/10")),
            ("2001:db8::/32", ("2001:db8::/32",)),
            ("", ()),
        ):
            config = self.load(DOMAIN="a.test", PROXY_PROTOCOL_FROM=spelling)
            self.assertEqual(config.listen.proxy_networks, read)

    def test_addresses_of_ours(self) -> None:
        """WEB_URL and API_URL are origins; a path could not be honored, so it is refused."""
        for url in ("https://mail.a.test", "https://mail.a.test/", "http://127.0.0.1:3000"):
            config = self.load(DOMAIN="a.test", WEB_URL=url)
            self.assertEqual(config.web.url, url.rstrip("/"))
        for name in ("WEB_URL", "API_URL"):
            for url in ("https://a.test/mail", "https://a.test/?x", "https://me@a.test"):
                (problem,) = self.problems(**{"DOMAIN": "a.test", name: url})
                self.assertIn("at the top of a host", problem)
            for url in (
                "a.test",
                "ftp://a.test",
                "https://",
                "https://a.test:99999",
                "https://a b",
            ):
                (problem,) = self.problems(**{"DOMAIN": "a.test", name: url})
                self.assertIn("https://mail.example.org", problem)

    def test_resolvers(self) -> None:
        """IP addresses, each with a port if need be; a name would need a resolver."""
        config = self.load(DOMAIN="a.test", DNS_SERVERS="192.0.2.53, 127.0.0.1#5353 ::1#53")
        servers = ("192.0.2.53", "127.0.0.1#5353", "::1#53")
        self.assertEqual(config.operation.dns_servers, servers)
        for wrong in ("dns.example", "192.0.2.53:53", "127.0.0.1#", "127.0.0.1#0", "1.1.1.1#70000"):
            (problem,) = self.problems(DOMAIN="a.test", DNS_SERVERS=wrong)
            self.assertIn("127.0.0.1#5353", problem)

    def test_webhook_ports(self) -> None:
        """A list of ports."""
        self.assertEqual(self.load(DOMAIN="a.test").webhooks.ports, (80, 443, 8080, 8443))
        named = self.load(DOMAIN="a.test", WEBHOOK_PORTS="443 5678")
        self.assertEqual(named.webhooks.ports, (443, 5678))
        for wrong in ("x", "0", "443, 70000"):
            self.assertEqual(len(self.problems(DOMAIN="a.test", WEBHOOK_PORTS=wrong)), 1)

    def test_server_addresses(self) -> None:
        """Addresses in their usual spelling, private ones too, and nothing else."""
        self.assertEqual(self.load(DOMAIN="a.test").operation.server_addresses, ())
        named = self.load(DOMAIN="a.test", SERVER_ADDRESSES="192.0.2.25, 2001:DB8:0:0::25 10.0.0.1")
        wanted = ("192.0.2.25", "2001:db8::25", "10.0.0.1")
        self.assertEqual(named.operation.server_addresses, wanted)
        for wrong in ("mx.a.test", "192.0.2.0/24", "0.0.0.0", "192.0.2.25:25", "::"):
            (problem,) = self.problems(DOMAIN="a.test", SERVER_ADDRESSES=wrong)
            self.assertIn("be a list of IP addresses", problem)

    def test_interpolation(self) -> None:
        """``{{NAME}}`` may refer to a variable that refers to a third."""
        self.env("DOMAIN=example.org\nMX_HOST=in.{{DOMAIN}}\nAPP_NAME=Mail of {{MX_HOST}}\n")
        self.assertEqual(self.load().names.app_name, "Mail of in.example.org")

    def test_circular_interpolation(self) -> None:
        """Circles and unknown names are sentences."""
        self.env("DOMAIN=example.org\nAPP_NAME={{APP_NAME}}\nMX_HOST={{NOWHERE}}\n")
        problems = " ".join(self.problems())
        self.assertIn("APP_NAME must not refer to itself", problems)
        self.assertIn("MX_HOST must not refer to NOWHERE", problems)

    def test_everything_wrong_at_once(self) -> None:
        """One sentence for each."""
        self.env("MX_PORT=70000\nNONSENSE=1\nPROXY_PROTOCOL_FROM=0.0.0.0/0\nLOG_LEVEL=loud\n")
        problems = self.problems()
        self.assertEqual(len(problems), 5)
        for part in ("DOMAIN", "MX_PORT", "NONSENSE", "whole internet", "LOG_LEVEL"):
            self.assertIn(part, " ".join(problems))

    def test_reference_variables_are_accepted(self) -> None:
        """An imported ``.env`` starts; what has no use here is ignored."""
        self.env("DOMAIN=example.org\nREDIS_HOST=x\nTURNSTILE_ENABLED=false\nSELF_HOSTED=true\n")
        self.assertEqual(self.load().names.domain, "example.org")

    def test_unreadable_file(self) -> None:
        """One sentence with the path, and none about what may stand in it."""
        path = self.directory / ".env"
        path.mkdir()
        self.assertEqual(self.problems(), [f"{path} cannot be read: Is a directory."])
        path.rmdir()
        path.write_bytes(b"DOMAIN=bl\xe5.test\n")
        self.assertEqual(self.problems(), [f"Line 1 of {path} is not text in UTF-8."])

    def test_unwritable_file(self) -> None:
        """Secrets that cannot be kept are not used."""
        path = self.directory / ".env.new"
        path.mkdir()
        target = self.directory / ".env"
        problems = self.problems(DOMAIN="example.org")
        self.assertEqual(problems, [f"{target} cannot be written: Is a directory."])

    def test_environment_of_other_octets(self) -> None:
        """What is no UTF-8 in the environment is named, whatever reads the variable."""
        for name in ("DOMAIN", "APP_NAME", "HELPER_ENCRYPTION_KEY", "SQLITE_STORAGE_PATH"):
            value = b"bl\xe5bl\xe5bl\xe5bl\xe5bl\xe5bl\xe5bl\xe5bl\xe5bl\xe5bl\xe5bl\xe5"
            environ = {"DOMAIN": "a.test", name: value.decode("utf-8", "surrogateescape")}
            self.assertIn(
                f"{name} in the environment is not text in UTF-8.", self.problems(**environ)
            )

    def test_secrets_are_made_once(self) -> None:
        """Written with mode 0600 behind what is there, and read again afterwards."""
        self.env("DOMAIN=example.org")
        first = self.load()
        self.assertIn("HELPER_ENCRYPTION_KEY", first.generated)
        path = self.directory / ".env"
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertTrue(path.read_text().startswith("DOMAIN=example.org\n"))
        second = self.load()
        self.assertEqual(second.generated, ())
        self.assertEqual(second.keys, first.keys)

    def test_secrets_are_not_made_over_data(self) -> None:
        """A lost key is an error as long as there is something that it opens."""
        (self.directory / "sqlite-data").mkdir()
        (self.directory / "sqlite-data" / "accounts.sqlite").touch()
        problems = self.problems(DOMAIN="example.org", SRS_SECRET=GOOD)
        self.assertEqual(len(problems), 1)
        self.assertIn("HELPER_ENCRYPTION_KEY is missing", problems[0])
        self.assertFalse((self.directory / ".env").exists())

    def test_secrets_are_not_shown(self) -> None:
        """Neither in a problem nor in the representation."""
        problems = self.problems(DOMAIN="example.org", HELPER_ENCRYPTION_KEY="tooshort")
        self.assertNotIn("tooshort", " ".join(problems))
        config = self.load(DOMAIN="example.org", HELPER_ENCRYPTION_KEY=GOOD)
        self.assertNotIn(GOOD, repr(config))


class DocumentationTests(SynchronousTestCase):
    """What is generated from the declarations."""

    def test_every_variable_is_documented(self) -> None:
        """In the example and in ``--help``, with its default."""
        for name in variables():
            self.assertIn(f"#{name}=", example())
            self.assertIn(f"  {name} (default", describe())

    def test_every_variable_has_an_effect(self) -> None:
        """
        What is documented is read somewhere, or stands inside another variable's default; those
        of listeners are read through the table of edges (``test_edge_table``).
        """
        package = Path(fe_mail.app.__file__).parent
        code = "".join(
            path.read_text() for path in package.glob("*.py") if path.name != "variables.py"
        )
        tabled = {edge.port_variable for edge in edges()}
        tabled |= {edge.listen_variable for edge in edges() if edge.takes_endpoints}
        defaults = "".join(variable.default for _, _, variable in variables().values())
        idle = [
            name
            for name, (_, attribute, _) in variables().items()
            if name not in tabled
            and f".{attribute}" not in code
            and f"{{{{{name}}}}}" not in defaults
        ]
        self.assertEqual(idle, [])

    def test_example_is_a_valid_file(self) -> None:
        """Uncommented, it is accepted but for the domain."""
        text = "\n".join(
            line.removeprefix("#") for line in example().splitlines() if "# " not in line
        )
        values, problems = read_env(text.encode())
        self.assertEqual((problems, set(values)), ([], set(variables())))


class DemoPortTests(SynchronousTestCase):
    """Ports of the demo."""

    def test_taken_ports_are_replaced(self) -> None:
        """However many of the wished ports are in use, every listener gets one of its own."""
        with contextlib.ExitStack() as stack:
            for wish in (2525, 2465, 2587, 2993, 3000, 4000):
                busy = stack.enter_context(socket.socket())
                busy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                with contextlib.suppress(OSError):
                    busy.bind(("127.0.0.1", wish))
                    busy.listen()
            for _ in range(50):
                chosen = demo_environment(Path("nowhere"))
                ports = [value for name, value in chosen.items() if name.endswith("_PORT")]
                used = [port for port in ports if port != "0"]
                self.assertEqual(len(set(used)), len(used))
