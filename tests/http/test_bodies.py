"""Bodies become fields: JSON, forms with brackets, multipart; hostile ones become ``Invalid``."""

import contextlib
import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.http.bodies import (
    MAX_FIELDS,
    MAX_KEY_DEPTH,
    parse_body,
    parse_query,
    unfold,
)
from fe_mail.model.errors import Invalid

FORM = "application/x-www-form-urlencoded"


class FormTests(SynchronousTestCase):
    """Keys with brackets, repeated keys."""

    def test_unfold(self) -> None:
        """Every form that the clients of the reference send."""
        for form, expected in (
            ("a=x", {"a": "x"}),
            ("a=x&a=y", {"a": ["x", "y"]}),
            ("a=x&a=y&a=z", {"a": ["x", "y", "z"]}),
            ("a[]=x", {"a": ["x"]}),
            ("a[]=x&a[]=y", {"a": ["x", "y"]}),
            ("a[1]=y&a[0]=x", {"a": ["x", "y"]}),
            ("a[b]=x&a[c]=y", {"a": {"b": "x", "c": "y"}}),
            ("a[b][]=x&a[b][]=y", {"a": {"b": ["x", "y"]}}),
            ("a=", {"a": ""}),
            ("a[1001]=x", {"a": {"1001": "x"}}),
            ("[]=x", {"[]": "x"}),
            ("a[=x", {"a[": "x"}),
        ):
            with self.subTest(form=form):
                self.assertEqual(expected, parse_body(FORM, form.encode()))

    def test_refused(self) -> None:
        """Too many fields, too deep, contradictory names, bad escapes and octets."""
        deep = "a" + "[b]" * MAX_KEY_DEPTH + "=x"
        for form in ("&".join(["a=x"] * (MAX_FIELDS + 1)), deep, "a=x&a[b]=y", "a=%ff"):
            with self.subTest(form=form[:20]):
                self.assertRaises(Invalid, parse_body, FORM, form.encode())
        self.assertRaises(Invalid, parse_body, FORM, b"a=\xff")

    def test_raw(self) -> None:
        """UTF-8 as it stands, or among escapes; JSON that calls itself a form is found out."""
        raw = "a=blåbær+grød&b=%C3%A6ø&ø=€".encode()
        self.assertEqual({"a": "blåbær grød", "b": "æø", "ø": "€"}, parse_body(FORM, raw))
        for kind in (FORM, f"{FORM}; charset=UTF-8", f'{FORM};charset="utf-8"'):
            self.assertEqual({"a": "ø"}, parse_body(kind, "a=ø".encode()))
        with self.assertRaises(Invalid) as caught:
            parse_body(FORM, b' {"name": "kim"}')
        self.assertIn("Content-Type", caught.exception.message)

    def test_query(self) -> None:
        """The last of repeated parameters."""
        self.assertEqual({"a": "y", "b": ""}, parse_query(b"a=x&b=&a=y"))

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.tuples(st.text(alphabet="ab[]01", max_size=12), st.text(max_size=5))))
    def test_any_pairs(self, pairs: list[tuple[str, str]]) -> None:
        """Whatever the keys: a dictionary that JSON can hold, or ``Invalid``."""
        with contextlib.suppress(Invalid):
            json.dumps(unfold(pairs))


class JSONTests(SynchronousTestCase):
    """Strict JSON."""

    def test_objects(self) -> None:
        """Objects are fields; nothing sent has none, whatever it calls itself."""
        self.assertEqual({"a": [1]}, parse_body("application/json; charset=utf-8", b'{"a": [1]}'))
        self.assertEqual({"a": 1}, parse_body("application/merge-patch+json", b'{"a": 1}'))
        self.assertEqual({}, parse_body("", b"  "))
        self.assertEqual({}, parse_body("text/plain", b"\r\n"))

    def test_refused(self) -> None:
        """Not JSON, not an object, NaN, lone surrogates, bad UTF-8, too deep, too long numbers."""
        for body in (
            b"{",
            b"5",
            b"null",
            b"[1]",
            b"[]",
            b'{"a": 1, "a": 2}',
            b'{"a": {"b": true, "b": true}}',
            b'{"a": NaN}',
            b'{"a": "\\udc00"}',
            b'{"\\ud800": 1}',
            b"\xff",
            b"[" * 200_000,
            b'{"a": ' + b"9" * 5000 + b"}",
        ):
            with self.subTest(body=body[:20]):
                self.assertRaises(Invalid, parse_body, "application/json", body)

    def test_unknown_types(self) -> None:
        """What cannot be read for its type, character set or compression has a code of its own."""
        for kind, encoding in (
            ("text/plain", ""),
            ("application/xml", ""),
            ("application/octet-stream", ""),
            ("image/png", ""),
            ("nonsense", ""),
            ("application/json; charset=iso-8859-1", ""),
            (f"{FORM}; charset=windows-1252", ""),
            ("application/json", "gzip"),
            (FORM, "br"),
        ):
            with self.subTest(kind=kind), self.assertRaises(Invalid) as caught:
                parse_body(kind, b'{"a": 1}', encoding)
            self.assertEqual("UNSUPPORTED_MEDIA_TYPE", caught.exception.code)
        for kind in ("application/json; charset=utf-8", 'Application/JSON; charset="UTF-8"'):
            self.assertEqual({"a": 1}, parse_body(kind, b'{"a": 1}', "identity"))

    @settings(max_examples=100, deadline=None)
    @given(st.text(max_size=60), st.text(max_size=9))
    def test_any_type(self, kind: str, encoding: str) -> None:
        """Any Content-Type and Content-Encoding: fields or ``Invalid``."""
        for start in ("", "application/json;", "multipart/form-data;", "a/b; charset="):
            with contextlib.suppress(Invalid):
                parse_body(start + kind, b'{"a": 1}', encoding)

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=60))
    def test_any_octets(self, body: bytes) -> None:
        """Never anything but fields or ``Invalid``."""
        for kind in (
            "application/json",
            FORM,
            "multipart/form-data; boundary=x",
            "multipart/form-data",
        ):
            try:
                parse_body(kind, body)
            except Invalid:
                continue


class MultipartTests(SynchronousTestCase):
    """RFC 7578, text only."""

    KIND = "multipart/form-data; boundary=x"

    def body(self, *parts: str) -> bytes:
        """Parts between boundaries."""
        return "".join(f"--x\r\n{part}\r\n" for part in parts).encode() + b"--x--\r\n"

    def part(self, name: str, value: str) -> str:
        """One field."""
        return f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'

    def test_fields(self) -> None:
        """Brackets unfold here too, and values keep their line ends."""
        body = self.body(self.part("to[0]", "å"), self.part("to[1]", "b\r\nc"), self.part("d", ""))
        self.assertEqual({"to": ["å", "b\r\nc"], "d": ""}, parse_body(self.KIND, body))

    def test_refused(self) -> None:
        """A file, a part without a name, no boundary."""
        file = 'Content-Disposition: form-data; name="a"; filename="b"\r\n\r\nx'
        for part in (file, "Content-Disposition: form-data\r\n\r\nx", "\r\nx"):
            with self.subTest(part=part):
                self.assertRaises(Invalid, parse_body, self.KIND, self.body(part))
        self.assertRaises(Invalid, parse_body, "multipart/form-data", self.body(file))

    def test_many(self) -> None:
        """A thousand fields are taken, one more is refused, a flood is refused at once."""
        fields = [self.part(f"f{number}", "x") for number in range(MAX_FIELDS)]
        self.assertEqual(MAX_FIELDS, len(parse_body(self.KIND, self.body(*fields))))
        more = self.body(*fields, self.part("g", "x"))
        self.assertRaises(Invalid, parse_body, self.KIND, more)
        self.assertRaises(Invalid, parse_body, self.KIND, b"--x\r\n\r\n" * 130_000)

    def test_similar_boundary(self) -> None:
        """A line that only begins like the boundary makes the form invalid, never another field."""
        body = self.body(self.part("a", "1\r\n--xy\r\n\r\n2"))
        self.assertRaises(Invalid, parse_body, self.KIND, body)
