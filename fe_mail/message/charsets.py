"""
Character sets: what a label means, and octets as text, whatever the octets and whatever the label.

The labels are those of the WHATWG Encoding Standard and of IANA's registry with its aliases, and
what mail programs write beside them. They are compared by their letters and digits only, so
``ISO 8859-2``, ``iso8859_2`` and ``"iso-8859-2"`` are the same. As the Encoding Standard says, a
label means the bigger set that programs take it for: ``iso-8859-1`` is Windows-1252, ``gb2312`` is
GB 18030. Unlike there, ``us-ascii`` and unknown labels say nothing, and what browsers refuse
(HZ, ISO-2022-KR, UTF-7) is read, because there is mail in it.

Decoding never raises. Octets that are not of their set are read as UTF-8 if they are that, since
wrong labels are common; else U+FFFD stands for them. Without a label, text that is UTF-8 for the
most part is UTF-8, and anything else is Windows-1252. Codecs of Python that are none of text (or
are slow on hostile input) are no character sets.

RFC 2045 §5.1; RFC 2046 §4.1.2; RFC 2978 §2.3; https://encoding.spec.whatwg.org/#names-and-labels.
"""

import codecs
import re
from collections.abc import Iterator
from functools import lru_cache

__all__ = ["codec_of", "decode_octets", "is_of_octets"]

MAX_LABEL_CHARACTERS = 100
# Python's decoders replace slowly, and no call may keep other threads waiting.
_PIECE_OCTETS = 1 << 16

_PRINTABLE = bytes(range(0x20, 0x7F))
_WESTERN = "cp1252"
_NOT_OF_A_LABEL = re.compile(r"[^a-z0-9]+")
_SURROGATES = re.compile(r"[\ud800-\udfff]")

# Python's codec, and the letters and digits of every label that means it.
_LABELS = {
    "utf-8": "utf8 unicode11utf8 unicode20utf8 xunicode20utf8 csutf8 utf8mac iso10646utf8 cesu8"
    " cscesu8 cp65001 65001 utf8mb4",
    "utf-7": "utf7 csutf7 unicode11utf7 csunicode11utf7 xunicode11utf7 unicode20utf7 cp65000",
    "utf-16": "utf16 csutf16 csunicode iso10646ucs2 ucs2 unicode unicodefeff iso10646",
    "utf-16-le": "utf16le csutf16le",
    "utf-16-be": "utf16be csutf16be unicodefffe",
    "utf-32": "utf32 csutf32 iso10646ucs4 csucs4 ucs4",
    "utf-32-le": "utf32le csutf32le",
    "utf-32-be": "utf32be csutf32be",
    "cp1250": "cp1250 windows1250 xcp1250 cswindows1250 msee win1250 ansi1250",
    "cp1251": "cp1251 windows1251 xcp1251 cswindows1251 mscyrl win1251 ansi1251 wincyrillic",
    "cp1252": "cp1252 windows1252 xcp1252 cswindows1252 msansi win1252 ansi1252 latin1 l1 ibm819"
    " cp819 csisolatin1 iso88591 isoir100 iso885911987 iso88591windows30latin1"
    " iso88591windows31latin1 cswindows30latin1 cswindows31latin1 isolatin1 xuserdefined"
    " csiso88591 88591",
    "cp1253": "cp1253 windows1253 xcp1253 cswindows1253 msgreek win1253",
    "cp1254": "cp1254 windows1254 xcp1254 cswindows1254 msturk win1254 iso88599 isoir148"
    " iso885991989 latin5 l5 csisolatin5 iso88599windowslatin5 cswindows31latin5 88599",
    "cp1255": "cp1255 windows1255 xcp1255 cswindows1255 mshebr win1255",
    "cp1256": "cp1256 windows1256 xcp1256 cswindows1256 msarab win1256",
    "cp1257": "cp1257 windows1257 xcp1257 cswindows1257 winbaltrim win1257",
    "cp1258": "cp1258 windows1258 xcp1258 cswindows1258 win1258",
    "cp874": "windows874 dos874 cp874 ibm874 xcp874 cswindows874 tis620 tis6200 tis62025291"
    " tis62025330 cstis620 iso885911 isoir166 iso8859112001 win874",
    "iso8859-2": "iso88592 isoir101 iso885921987 latin2 l2 csisolatin2 iso88592windowslatin2"
    " cswindows31latin2 88592 isolatin2",
    "iso8859-3": "iso88593 isoir109 iso885931988 latin3 l3 csisolatin3 88593",
    "iso8859-4": "iso88594 isoir110 iso885941988 latin4 l4 csisolatin4 88594",
    "iso8859-5": "iso88595 isoir144 iso885951988 cyrillic csisolatincyrillic 88595",
    "iso8859-6": "iso88596 isoir127 iso885961987 ecma114 asmo708 arabic csisolatinarabic iso88596e"
    " iso88596i csiso88596e csiso88596i 88596",
    "iso8859-7": "iso88597 isoir126 iso885971987 iso885972003 elot928 ecma118 greek greek8"
    " csisolatingreek suneugreek 88597",
    "iso8859-8": "iso88598 isoir138 iso885981988 hebrew csisolatinhebrew iso88598e iso88598i"
    " csiso88598e csiso88598i logical visual 88598",
    "iso8859-10": "iso885910 isoir157 iso8859101992 latin6 l6 csisolatin6 csiso885910",
    "iso8859-13": "iso885913 csiso885913 isoir179 latin7 l7",
    "iso8859-14": "iso885914 isoir199 iso8859141998 latin8 l8 isoceltic csiso885914",
    "iso8859-15": "iso885915 csiso885915 latin9 l9 latin0 csisolatin9 isoir203",
    "iso8859-16": "iso885916 isoir226 iso8859162001 latin10 l10 csiso885916",
    "koi8-r": "koi8r cskoi8r koi koi8 cp20866 xkoi8r",
    "koi8-u": "koi8u koi8ru cskoi8u cp21866 xkoi8u",
    "koi8-t": "koi8t",
    "kz1048": "kz1048 strk10482002 rk1048 cskz1048",
    "ptcp154": "ptcp154 csptcp154 pt154 cp154 cyrillicasian",
    "mac-roman": "macintosh mac xmacroman csmacintosh macroman xmac xmacintosh",
    "mac-cyrillic": "xmaccyrillic xmacukrainian maccyrillic cp10007",
    "mac-latin2": "xmacce xmaccentraleurroman maccentraleurope xmaclatin2 maclatin2"
    " maccentraleurroman",
    "mac-greek": "xmacgreek macgreek",
    "mac-turkish": "xmacturkish macturkish",
    "mac-iceland": "xmacicelandic macicelandic maciceland",
    "mac-croatian": "xmaccroatian maccroatian",
    "mac-romanian": "xmacromanian macromanian",
    "gb18030": "gb18030 csgb18030 gb2312 csgb2312 gb231280 csiso58gb231280 isoir58 chinese gbk"
    " csgbk cp936 ms936 windows936 xgbk euccn xeuccn gb180302000 cngb 54936 936 xcp936",
    "hz": "hzgb2312 hz",
    "big5hkscs": "big5hkscs csbig5hkscs",
    "cp950": "big5 csbig5 cnbig5 xxbig5 xbig5 cp950 windows950 ms950 big5eten big5cp950"
    " cswindows950",
    "cp932": "shiftjis mskanji csshiftjis ms932 sjis windows31j xsjis cswindows31j cp932 xmscp932"
    " windows932 xshiftjis ibm943 cp943",
    "euc_jp": "eucjp cseucpkdfmtjapanese xeucjp eucjpms extendedunixcodepackedformatforjapanese"
    " ujis cp51932 xeuc",
    "iso2022_jp": "iso2022jp csiso2022jp xiso2022jp cp50220 cp50221 cp50222 csiso2022jp1",
    "iso2022_jp_2": "iso2022jp2 csiso2022jp2 iso2022jp1",
    "iso2022_jp_3": "iso2022jp3",
    "iso2022_jp_2004": "iso2022jp2004",
    "cp949": "euckr cseuckr ksc56011987 ksc56011989 csksc56011987 isoir149 korean ksc5601"
    " windows949 cp949 uhc ms949 xwindows949 xeuckr cp51949 xcp949",
    "iso2022_kr": "iso2022kr csiso2022kr",
    "johab": "johab cp1361 ms1361",
    "hp-roman8": "hproman8 roman8 r8 cshproman8",
    "cp437": "ibm437 cp437 437 cspc8codepage437",
    "cp775": "ibm775 cp775 cspc775baltic",
    "cp850": "ibm850 cp850 850 cspc850multilingual",
    "cp852": "ibm852 cp852 852 cspcp852",
    "cp855": "ibm855 cp855 855 csibm855",
    "cp857": "ibm857 cp857 857 csibm857",
    "cp858": "ibm858 cp858 858 ibm00858 cp00858 ccsid00858 csibm00858 pcmultilingual850euro",
    "cp860": "ibm860 cp860 860 csibm860",
    "cp861": "ibm861 cp861 861 cpis csibm861",
    "cp862": "ibm862 cp862 862 cspc862latinhebrew dos862",
    "cp863": "ibm863 cp863 863 csibm863",
    "cp864": "ibm864 cp864 csibm864",
    "cp865": "ibm865 cp865 865 csibm865",
    "cp866": "ibm866 cp866 866 csibm866",
    "cp869": "ibm869 cp869 869 cpgr csibm869",
    "cp1125": "cp1125 ruscii ibm848 cp866u",
    "cp037": "ibm037 cp037 ebcdiccpus ebcdiccpca ebcdiccpwt ebcdiccpnl csibm037",
    "cp273": "ibm273 cp273 csibm273",
    "cp856": "ibm856 cp856 856",
    "cp875": "ibm875 cp875 ebcdicgreek",
    "cp424": "ibm424 cp424 ebcdiccphe csibm424",
    "cp500": "ibm500 cp500 500v1 ebcdiccpbe ebcdiccpch csibm500",
    "cp1026": "ibm1026 cp1026 csibm1026",
    "cp1140": "ibm01140 cp01140 ccsid01140 ebcdicus37euro csibm01140 ibm1140 cp1140",
}
# These say that nothing is known, or less than is usually true.
_SILENT = (
    "ascii usascii us ansix341968 ansix341986 isoir6 iso646irv1991 iso646us ibm367 cp367 csascii"
    " ansi unknown unknown8bit csunknown8bit xunknown xunknown8bit default none binary 8bit 7bit"
)
_CODECS = {label: codec for codec, labels in _LABELS.items() for label in labels.split()}
_CODECS.update(dict.fromkeys(_SILENT.split(), ""))

# What the same label is used for beyond its codec, tried in order when the octets are not of it.
_BIGGER = {
    "cp950": ("big5hkscs",),
    "euc_jp": ("euc_jis_2004",),
    "iso2022_jp": ("iso2022_jp_ext", "iso2022_jp_2", "iso2022_jp_2004"),
    "iso8859-8": ("cp1255",),
}
_ORDERS = {"utf-16": codecs.BOM_UTF16_BE, "utf-32": codecs.BOM_UTF32_BE}
_REFUSED = frozenset(
    {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem"}
)


@lru_cache(maxsize=1024)
def codec_of(label: str) -> str:
    """Python's name of the codec that a label stands for; empty when it says nothing."""
    words = label[:MAX_LABEL_CHARACTERS].lower().split()
    for name in ("".join(words), *words[:1]):
        squeezed = _NOT_OF_A_LABEL.sub("", name) if name.isascii() else ""
        found = _CODECS.get(squeezed)
        if found is None:
            found = _of_python(name)
        if found is not None:
            return found
    return ""


def _of_python(name: str) -> str | None:
    """A codec that Python has under this name, if it is one of text."""
    if not name.isascii() or not name.isprintable():
        return None
    try:
        known = codecs.lookup(name.strip("\"'")).name
        if not known or known.replace("_", "-") in _REFUSED:
            return None
        b"x".decode(known, "replace")  # LookupError for zlib, base64 and the like
    except (LookupError, UnicodeError, ValueError):
        return None
    return known


@lru_cache(maxsize=256)
def is_of_octets(label: str) -> bool:
    """Does the set leave ASCII as it is, and is every other octet a part of a character?"""
    codec = codec_of(label)
    if not codec or codec.startswith(("iso2022", "hz")):
        return False
    return _PRINTABLE.decode(codec, "replace") == _PRINTABLE.decode("ascii")


def decode_octets(octets: bytes, label: str = "") -> str:
    """Octets in a character set as text."""
    codec = codec_of(label)
    if codec in ("", "utf-8"):
        return _unlabeled(octets)
    if codec in _ORDERS:
        return decode_octets(octets, _with_order(codec, octets)).removeprefix("\ufeff")
    for candidate in (codec, *_BIGGER.get(codec, ()), "utf-8"):
        try:
            return _decode(octets, candidate, "strict")
        except UnicodeError:
            continue
    return _decode(octets, codec, "replace")


def _with_order(codec: str, octets: bytes) -> str:
    """What the byte order mark says; without one, little-endian, as programs have it."""
    return f"{codec}-be" if octets.startswith(_ORDERS[codec]) else f"{codec}-le"


def _unlabeled(octets: bytes) -> str:
    """UTF-8 if more of the characters beyond ASCII are right than wrong, else Windows-1252."""
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as error:
        is_cut = error.reason == "unexpected end of data"  # as whoever cuts text leaves it
    text = _decode(octets, "utf-8", "replace")
    wrong = text.count("\ufffd")
    right = len(text) - len(text.encode("ascii", "ignore")) - wrong
    return text if right > wrong - is_cut else _decode(octets, _WESTERN, "replace")


def _decode(octets: bytes, codec: str, errors: str) -> str:
    """UTF-7 can spell lone surrogates, which nothing can encode again."""
    if len(octets) <= _PIECE_OCTETS:
        text = octets.decode(codec, errors)
    else:
        text = "".join(_pieces(octets, codec, errors))
    return _SURROGATES.sub("\ufffd", text)


def _pieces(octets: bytes, codec: str, errors: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(codec)(errors)
    for start in range(0, len(octets), _PIECE_OCTETS):
        yield decoder.decode(octets[start : start + _PIECE_OCTETS])
    yield decoder.decode(b"", True)
