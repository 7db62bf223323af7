"""Tests of fe_mail.message.charsets."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.message.charsets import codec_of, decode_octets
from fe_mail.message.digest import digest
from fe_mail.message.words import decode_words

# Every label of the WHATWG Encoding Standard, with a text and the codec that its octets are in.
WHATWG = (
    ("\u044f", "cp866", "866 cp866 csibm866 ibm866"),
    (
        "\u0142",
        "iso8859-2",
        "csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2",
    ),
    (
        "\u0127",
        "iso8859-3",
        "csisolatin3 iso-8859-3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3",
    ),
    (
        "\u0137",
        "iso8859-4",
        "csisolatin4 iso-8859-4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4",
    ),
    (
        "\u044f",
        "iso8859-5",
        "csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5 iso88595 iso_8859-5"
        " iso_8859-5:1988",
    ),
    (
        "\u0645",
        "iso8859-6",
        "arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6 iso-8859-6-e"
        " iso-8859-6-i iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987",
    ),
    (
        "\u03c9",
        "iso8859-7",
        "csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7 iso-ir-126 iso8859-7 iso88597"
        " iso_8859-7 iso_8859-7:1987 sun_eu_greek",
    ),
    (
        "\u05e9",
        "iso8859-8",
        "csiso88598e csisolatinhebrew hebrew iso-8859-8 iso-8859-8-e iso-ir-138 iso8859-8 iso88598"
        " iso_8859-8 iso_8859-8:1988 visual csiso88598i iso-8859-8-i logical",
    ),
    (
        "\u014b",
        "iso8859-10",
        "csisolatin6 iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6",
    ),
    ("\u0117", "iso8859-13", "iso-8859-13 iso8859-13 iso885913"),
    ("\u1e03", "iso8859-14", "iso-8859-14 iso8859-14 iso885914"),
    ("\u20ac", "iso8859-15", "csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9"),
    ("\u0219", "iso8859-16", "iso-8859-16"),
    ("\u044f", "koi8-r", "cskoi8r koi koi8 koi8-r koi8_r"),
    ("\u0457", "koi8-u", "koi8-ru koi8-u"),
    ("\u00e6", "mac-roman", "csmacintosh mac macintosh x-mac-roman"),
    ("\u0e01", "cp874", "dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874"),
    ("\u0142", "cp1250", "cp1250 windows-1250 x-cp1250"),
    ("\u044f", "cp1251", "cp1251 windows-1251 x-cp1251"),
    (
        "\u201c\u00e6",
        "cp1252",
        "ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1"
        " iso88591 iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252",
    ),
    ("\u03c9", "cp1253", "cp1253 windows-1253 x-cp1253"),
    (
        "\u011f",
        "cp1254",
        "cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 l5"
        " latin5 windows-1254 x-cp1254",
    ),
    ("\u05e9", "cp1255", "cp1255 windows-1255 x-cp1255"),
    ("\u0645", "cp1256", "cp1256 windows-1256 x-cp1256"),
    ("\u0117", "cp1257", "cp1257 windows-1257 x-cp1257"),
    ("\u01b0", "cp1258", "cp1258 windows-1258 x-cp1258"),
    ("\u044f", "mac-cyrillic", "x-mac-cyrillic x-mac-ukrainian"),
    (
        "\u4e2d\u6587",
        "gb18030",
        "chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 x-gbk gb18030",
    ),
    ("\u4e2d\u6587", "big5", "big5 big5-hkscs cn-big5 csbig5 x-x-big5"),
    ("\u65e5\u672c", "euc_jp", "cseucpkdfmtjapanese euc-jp x-euc-jp"),
    ("\u65e5\u672c", "iso2022_jp", "csiso2022jp iso-2022-jp"),
    (
        "\u65e5\u672c",
        "cp932",
        "csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis",
    ),
    (
        "\uac00\ub618",
        "cp949",
        "cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601"
        " ksc_5601 windows-949",
    ),
    ("\uac00", "iso2022_kr", "csiso2022kr iso-2022-kr"),
    ("\u4e2d\u6587", "hz", "hz-gb-2312"),
    ("\u65e5", "utf-16-be", "unicodefffe utf-16be"),
    (
        "\u65e5",
        "utf-16-le",
        "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le",
    ),
    (
        "\u65e5",
        "utf-8",
        "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8",
    ),
)
# Aliases of IANA's registry that are not among them, and what programs write.
OTHERS = (
    ("\u4e2d", "gb18030", "cp936 ms936 windows-936 csgbk csgb18030 gb18030-2000 euc-cn x-euc-cn"),
    ("\u4e2d", "big5", "cswindows950 cp950 big5-eten x-big5 csbig5hkscs"),
    ("\u65e5", "cp932", "cp932 cswindows31j x-ms-cp932"),
    ("\u65e5", "euc_jp", "Extended_UNIX_Code_Packed_Format_for_Japanese eucjp ujis"),
    ("\uac00", "cp949", "cp949 uhc ms949 x-windows-949"),
    ("\u0e01", "cp874", "cstis620 cswindows874 cp874 tis620.2533-0 iso-ir-166"),
    ("\u044f", "cp1251", "cswindows1251 ms-cyrl win-1251"),
    ("\u0219", "iso8859-16", "iso-ir-226 latin10 l10 csiso885916 iso_8859-16:2001"),
    ("\u20ac", "iso8859-15", "latin-9 csiso885915"),
    ("\u0117", "iso8859-13", "iso-ir-179 latin7 csiso885913"),
    ("\u1e03", "iso8859-14", "iso-ir-199 latin8 l8 iso-celtic csiso885914"),
    ("\u00e6", "cp850", "ibm850 850 cspc850multilingual"),
    ("\u20ac", "cp858", "ibm00858 ccsid00858 pc-multilingual-850+euro csibm00858"),
    ("\u0142", "mac-latin2", "x-mac-ce x-mac-centraleurroman"),
    ("\u044f", "kz1048", "kz-1048 strk1048-2002 rk1048"),
    ("\u00e6", "utf-8", "csutf8 iso-10646/utf-8 cp65001"),
    ("\u00e6", "utf-7", "unicode-1-1-utf-7 csutf7"),
)


class LabelTests(SynchronousTestCase):
    """What labels mean."""

    def test_labels(self) -> None:
        """All of the Encoding Standard's and of IANA's that can be read, in any spelling."""
        for text, codec, labels in (*WHATWG, *OTHERS):
            octets = text.encode(codec)
            for label in labels.split():
                for name in (label, label.upper(), f' "{label}" ', label.replace("-", "_")):
                    self.assertEqual(decode_octets(octets, name), text, name)

    def test_in_messages(self) -> None:
        """In a body, an encoded word and a file name."""
        for label, octets, text in (
            ("windows-874", b"\xa1", "\u0e01"),
            ("ks_c_5601-1989", b"\xb0\xa1", "\uac00"),
            ("windows-31j", b"\x87\x40", "\u2460"),
            ("iso-8859-8-i", b"\xf9", "\u05e9"),
            ("koi8-ru", b"\xa7", "\u0457"),
        ):
            head = f"Content-Type: text/plain; charset={label} (x)\r\n\r\n".encode()
            self.assertEqual(digest(head + octets).text, text, label)
            quoted = "".join(f"={octet:02X}" for octet in octets)
            self.assertEqual(decode_words(f"=?{label}?q?{quoted}?=".encode()), text, label)

    def test_unknown(self) -> None:
        """Nothing, nonsense, or what is no character set of mail."""
        for label in (
            "",
            "x-none",
            "us-ascii",
            "base64",
            "zlib",
            "undefined",
            "\0",
            "\u00e6",
            "x" * 500,
        ):
            self.assertEqual(codec_of(label), "", label)
            self.assertEqual(decode_octets(b"bl\xe5", label), "bl\u00e5", label)
            self.assertEqual(decode_octets(b"bl\xc3\xa5", label), "bl\u00e5", label)

    def test_words_behind(self) -> None:
        """Only the first word may be the label."""
        self.assertEqual(decode_octets(b"\xd1", "koi8-r format flowed"), "\u044f")
        self.assertEqual(codec_of("iso 8859-2"), "iso8859-2")


class OctetTests(SynchronousTestCase):
    """Octets that are not what was said."""

    def test_wrong_label(self) -> None:
        """UTF-8 under another name is read as what it is where the name cannot be right."""
        for label in ("iso-2022-jp", "iso-2022-kr", "hz-gb-2312", "utf-7"):
            self.assertEqual(
                decode_octets("\u00e6\u00f8\u00e5!".encode(), label), "\u00e6\u00f8\u00e5!", label
            )

    def test_nearly_utf8(self) -> None:
        """One octet that is wrong, or a last character that is cut, spoils nothing else."""
        self.assertEqual(
            decode_octets(b"\xc3\xa6\xc3\xb8 \xff \xc3\xa5"), "\u00e6\u00f8 \ufffd \u00e5"
        )
        self.assertEqual(decode_octets(b"\xc3\xa6\xc3"), "\u00e6\ufffd")
        self.assertEqual(decode_octets(b"caf\xe9"), "caf\u00e9")

    def test_beyond_the_codec(self) -> None:
        """Characters that the usual codec of a label lacks."""
        for octets, label, text in (
            (b"\xad\xa1", "euc-jp", "\u2460"),
            (b"\x88\x62", "big5", "\u00ca\u0304"),
            (b"\x1b$B\x30\x21\x1b(I1\x1b(B", "iso-2022-jp", "\u4e9c\uff71"),
        ):
            self.assertEqual(decode_octets(octets, label), text, label)

    def test_byte_order(self) -> None:
        """By its mark, which is no character; without one little-endian."""
        for octets in (b"\xff\xfea\0", b"\xfe\xff\0a", b"a\0"):
            self.assertEqual(decode_octets(octets, "utf-16"), "a", octets)
        self.assertEqual(digest(b"Subject: x\r\n\r\n\xef\xbb\xbfa").text, "a")
        self.assertEqual(decode_words(b"=?utf-8?b?77u/?="), "\ufeff")
        self.assertEqual(decode_octets(b"\xff\xfe" + b"a\0" * 50_000, "utf-16"), "a" * 50_000)

    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=40), st.text(max_size=20) | st.sampled_from(["utf-16", "hz", "gbk"]))
    def test_anything(self, octets: bytes, label: str) -> None:
        """No exception, and what comes out can be stored."""
        decode_octets(octets, label).encode()


class RawHeaderTests(SynchronousTestCase):
    """Octets in a header that nobody labeled."""

    def test_charset_of_the_message(self) -> None:
        """Not UTF-8: what the message is written in, else Windows-1252."""
        for label, expected in (
            (b"koi8-r", "\u0430\u0442"),
            (b"utf-8", "\u00c1\u00d4"),
            (b"utf-16", "\u00c1\u00d4"),
            (b"iso-2022-jp", "\u00c1\u00d4"),
            (b"us-ascii", "\u00c1\u00d4"),
        ):
            raw = b"Subject: \xc1\xd4\r\nContent-Type: text/plain; charset=" + label + b"\r\n\r\nx"
            found = digest(raw)
            self.assertEqual(found.subject, expected, label)
            self.assertIn(f"Subject: {expected}\n", found.header)
        raw = b"Subject: \xc3\xa6\r\nContent-Type: text/plain; charset=koi8-r\r\n\r\nx"
        self.assertEqual(digest(raw).subject, "\u00e6")
