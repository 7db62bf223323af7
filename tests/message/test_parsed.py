"""Tests of fe_mail.message.parsed and json_pieces: a message as a JSON document."""

import base64
import hashlib
import json
import tracemalloc
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.message.dates import format_iso_date
from fe_mail.message.json_pieces import PIECE_CHARACTERS, Buffer, JSONValue, Raw, json_pieces
from fe_mail.message.parsed import MAX_CONTENT_OCTETS, parsed_message
from fe_mail.message.transfer import decode_body, decoded_pieces

NESTED = b"""\
From: =?utf-8?q?Zo=C3=AB?= <zoe@client.test>
To: team: a@x.test, "B, C" <b@x.test>;, d@x.test
Cc: undisclosed
Reply-To: <r@x.test>
Subject: =?utf-8?b?R3LDvMOfZQ==?=
Date: Mon, 23 Nov 2026 16:20:00 +0100
Message-ID: <1@client.test>
In-Reply-To: <0@client.test>
References: <a@client.test>
 <0@client.test>
X-Twice: one
X-Twice: two
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=m

--m
Content-Type: multipart/related; boundary=r

--r
Content-Type: multipart/alternative; boundary=a

--a
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Caf=E9 =
au lait
--a
Content-Type: text/html

<p>Caf&eacute;</p>
--a--
--r
Content-Type: image/png; name="dot.png"
Content-ID: <dot@client.test>
Content-Disposition: inline
Content-Transfer-Encoding: base64

AAEC
/w==
--r--
--m
Content-Type: text/plain
Content-Disposition: attachment; filename*=utf-8''%C3%9F.txt

attached
--m
Content-Type: message/rfc822

Subject: inner
Content-Type: multipart/mixed; boundary=i

--i

inner text
--i--
--m--
""".replace(b"\n", b"\r\n")


def written(value: JSONValue) -> Any:
    """Through JSON and back."""
    return json.loads(b"".join(json_pieces(value)))


def parsed(raw: bytes, **more: bool) -> dict[str, Any]:
    """The document of a message."""
    document: dict[str, Any] = written(parsed_message(raw, **more))
    return document


class HeaderTests(SynchronousTestCase):
    """What the header says."""

    def test_fields(self) -> None:
        """Decoded by name, and as they stand."""
        document = parsed(NESTED)
        self.assertEqual(document["subject"], "Grüße")
        self.assertEqual(document["date"], "2026-11-23T15:20:00.000Z")
        self.assertEqual(document["messageId"], "<1@client.test>")
        self.assertEqual(document["inReplyTo"], "<0@client.test>")
        self.assertEqual(document["references"], ["<a@client.test>", "<0@client.test>"])
        self.assertEqual(document["headers"]["x-twice"], ["one", "two"])
        self.assertEqual(document["headers"]["subject"], "Grüße")
        self.assertEqual(
            document["headerLines"][8],
            {"key": "references", "line": "References: <a@client.test>\r\n <0@client.test>"},
        )

    def test_addresses(self) -> None:
        """Single ones, groups, and what is none."""
        document = parsed(NESTED)
        self.assertEqual(document["from"]["value"], [{"address": "zoe@client.test", "name": "Zoë"}])
        self.assertEqual(document["from"]["text"], '"Zoë" <zoe@client.test>')
        self.assertEqual(document["from"]["html"], "&quot;Zoë&quot; &lt;zoe@client.test&gt;")
        self.assertEqual(
            document["to"]["value"],
            [
                {
                    "name": "team",
                    "group": [
                        {"address": "a@x.test", "name": ""},
                        {"address": "b@x.test", "name": "B, C"},
                    ],
                },
                {"address": "d@x.test", "name": ""},
            ],
        )
        self.assertEqual(document["to"]["text"], 'team: a@x.test, "B, C" <b@x.test>;, d@x.test')
        self.assertEqual(document["cc"]["value"], [{"address": "undisclosed", "name": ""}])
        self.assertEqual(document["replyTo"]["text"], "r@x.test")

    def test_absent(self) -> None:
        """What is not there is left out; a message without anything is one."""
        expected = {
            "headers": {},
            "headerLines": [],
            "subject": "",
            "text": "",
            "html": False,
            "attachments": [],
        }
        self.assertEqual(parsed(b""), expected)

    def test_iso(self) -> None:
        """Before the epoch, too."""
        self.assertEqual(format_iso_date(-0.5), "1969-12-31T23:59:59.500Z")


class BodyTests(SynchronousTestCase):
    """Texts and attachments."""

    def test_texts(self) -> None:
        """Both forms, decoded; those of an attached message are its own."""
        document = parsed(NESTED)
        self.assertEqual(document["text"], "Café au lait")
        self.assertEqual(document["html"], "<p>Caf&eacute;</p>")

    def test_html_only(self) -> None:
        """People without HTML get something to read."""
        document = parsed(b"Content-Type: text/html\r\n\r\n<b>Hi</b> there<script>x</script>")
        self.assertEqual(document["text"], "Hi there")

    def test_attachments(self) -> None:
        """In order, with what a program needs to tell them apart."""
        image, text, message = parsed(NESTED)["attachments"]
        self.assertEqual(
            image,
            {
                "type": "attachment",
                "filename": "dot.png",
                "contentType": "image/png",
                "contentDisposition": "inline",
                "related": True,
                "size": 4,
                "checksum": hashlib.md5(b"\0\1\2\xff").hexdigest(),
                "contentId": "<dot@client.test>",
                "cid": "dot@client.test",
                "content": {"type": "Buffer", "data": [0, 1, 2, 255]},
            },
        )
        self.assertEqual((text["filename"], text["related"]), ("ß.txt", False))
        self.assertEqual(bytes(text["content"]["data"]), b"attached")
        self.assertEqual((message["contentType"], message["filename"]), ("message/rfc822", None))
        self.assertTrue(bytes(message["content"]["data"]).startswith(b"Subject: inner\r\n"))

    def test_without(self) -> None:
        """On request."""
        self.assertNotIn("attachments", parsed(NESTED, with_attachments=False))

    def test_too_much_content(self) -> None:
        """Above the limit, size and checksum are all there is, and memory stays small."""
        content = bytes(range(256)) * (MAX_CONTENT_OCTETS // 256)
        raw = b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        raw += base64.encodebytes(content)
        tracemalloc.start()
        try:
            size = sum(map(len, json_pieces(parsed_message(raw))))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertLess(size, 1000)
        self.assertLess(peak, 4 << 20)
        (attachment,) = parsed(raw)["attachments"]
        self.assertNotIn("content", attachment)
        self.assertEqual(attachment["size"], len(content))
        self.assertEqual(attachment["checksum"], hashlib.md5(content).hexdigest())

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=300), st.sampled_from([b"", NESTED[:900], NESTED[900:]]))
    def test_anything(self, octets: bytes, start: bytes) -> None:
        """Nothing raises."""
        self.assertIn("attachments", parsed(start + octets))


class PieceTests(SynchronousTestCase):
    """Big documents a little at a time."""

    def test_values(self) -> None:
        """Every kind, and empty ones."""
        value: JSONValue = {
            "a": [None, True, False, 0, -7, "", '\u2028"\\\n\0', [], {}],
            "\u00e9": {"x": ["y"]},
        }
        self.assertEqual(written(value), value)
        self.assertEqual(written(Raw(b"\xe2\x82\xac \xff")), "€ \ufffd")
        expected = {"type": "Buffer", "data": [1, 2, 3]}
        self.assertEqual(written(Buffer(lambda: [b"\1\2", b"", b"\3"])), expected)
        self.assertEqual(written(Buffer(lambda: ())), {"type": "Buffer", "data": []})

    def test_no_text(self) -> None:
        """A lone surrogate cannot be sent and stops nothing."""
        self.assertEqual(written("a\ud800b"), "a?b")

    def test_pieces(self) -> None:
        """None is big; characters are not cut, wherever a piece ends."""
        octets = ("x" + "€" * 3 * PIECE_CHARACTERS).encode()
        pieces = list(json_pieces([Raw(octets), octets.decode()]))
        self.assertLess(max(map(len, pieces)), 1 << 18)
        self.assertEqual(json.loads(b"".join(pieces)), [octets.decode()] * 2)

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=200), st.sampled_from([b"base64", b"quoted-printable", b"8bit"]))
    def test_decoded_pieces(self, octets: bytes, encoding: bytes) -> None:
        """The same as all at once."""
        pieces = b"".join(decoded_pieces(octets, encoding, 0, len(octets)))
        self.assertEqual(pieces, decode_body(octets, encoding, 0, len(octets), len(octets)))

    def test_long_bodies(self) -> None:
        """Also where a piece ends in the middle of a line, an escape or a quantum."""
        content = bytes(range(256)) * 2_000
        pads = b"QQ==\r\n" * 50_000
        for encoded in (
            base64.encodebytes(content),
            base64.b64encode(content),
            pads,
        ):
            whole = decode_body(encoded, b"base64", 0, len(encoded), len(encoded))
            pieces = b"".join(decoded_pieces(encoded, b"base64", 0, len(encoded)))
            self.assertEqual(pieces, whole)
        escaped = b"".join(b"=%02X" % octet for octet in content)
        for text in (escaped, escaped + b"=\r\n" + escaped, b"a\r\n" * 100_000, b"a" * 200_000):
            whole = decode_body(text, b"quoted-printable", 0, len(text), len(text))
            pieces = b"".join(decoded_pieces(text, b"quoted-printable", 0, len(text)))
            self.assertEqual(pieces, whole)
