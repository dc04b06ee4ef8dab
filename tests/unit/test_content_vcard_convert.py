"""vCards in the other version: what is translated, what stays, and the way there and back."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.content.check import check_vcard
from safehold.content.lines import fold, parse, unfold
from safehold.content.vcard_convert import V3, V4, converted, version_of

RFC = Path(__file__).parents[1] / "data" / "rfc"
#: What every card here has, so that nothing is added.
FIXED = ("UID:urn:uuid:1", "FN:Anna", "N:Anna;;;;")


def card(version: str, *lines: str) -> bytes:
    inner = b"".join(fold(line.encode()) for line in (*FIXED, *lines))
    return f"BEGIN:VCARD\r\nVERSION:{version}\r\n".encode() + inner + b"END:VCARD\r\n"


def lines_of(body: bytes) -> list[str]:
    """Without what every card has."""
    found = unfold(body).decode().splitlines()
    assert found[0] == "BEGIN:VCARD"
    assert found[-1] == "END:VCARD"
    return [line for line in found[2:-1] if line not in FIXED]


def to_4(*lines: str) -> list[str]:
    return lines_of(converted(card(V3, *lines), V4))


def to_3(*lines: str) -> list[str]:
    return lines_of(converted(card(V4, *lines), V3))


#: The same in both versions, either way.
BOTH_WAYS = [
    ("TEL;TYPE=HOME,pref:1", "TEL;TYPE=HOME;PREF=1:1"),
    ("item1.TEL;TYPE=cell:1", "item1.TEL;TYPE=cell:1"),
    ("item1.X-ABLabel:_$!<Other>!$_", "item1.X-ABLabel:_$!<Other>!$_"),
    ("BDAY:1996-04-15", "BDAY:19960415"),
    ("BDAY;X-APPLE-OMIT-YEAR=1604:1604-04-15", "BDAY:--0415"),
    ("BDAY;VALUE=date-time:1953-10-15T23:10:00Z", "BDAY:19531015T231000Z"),
    ("BDAY;VALUE=text:circa 1800", "BDAY;VALUE=text:circa 1800"),
    ("BDAY;VALUE=text:1985", "BDAY:1985"),
    ("BDAY;VALUE=text:1985-04", "BDAY:1985-04"),
    ("X-ANNIVERSARY:2009-10-02", "ANNIVERSARY:20091002"),
    ("REV:1995-10-31T22:27:10Z", "REV:19951031T222710Z"),
    ("REV:1995-10-31T22:27:10+01:00", "REV:19951031T222710+0100"),
    ("PHOTO;ENCODING=b;TYPE=JPEG:/9j/4AAQ", "PHOTO:data:image/jpeg;base64,/9j/4AAQ"),
    ("item2.PHOTO;ENCODING=b;TYPE=PNG:iVBORw0KGgo=", "item2.PHOTO:data:image/png;base64,iVBORw0KGgo="),
    ("PHOTO;VALUE=uri:http://a.example/b.gif", "PHOTO:http://a.example/b.gif"),
    ("LOGO;VALUE=uri;TYPE=PNG:http://a.example/b", "LOGO;MEDIATYPE=image/png:http://a.example/b"),
    ("SOUND;ENCODING=b;TYPE=BASIC:AAAA", "SOUND:data:audio/basic;base64,AAAA"),
    ("KEY;ENCODING=b;TYPE=PGP:AAAA", "KEY:data:application/pgp-keys;base64,AAAA"),
    ("KEY;ENCODING=b;TYPE=X509,work:AAAA", "KEY;TYPE=work:data:application/pkix-cert;base64,AAAA"),
    ("GEO:37.386013;-122.082932", "GEO:geo:37.386013,-122.082932"),
    ("TZ:-05:00", "TZ;VALUE=utc-offset:-0500"),
    ("IMPP;X-SERVICE-TYPE=Jabber:xmpp:a@b", "IMPP;X-SERVICE-TYPE=Jabber:xmpp:a@b"),
    ("X-ADDRESSBOOKSERVER-KIND:group", "KIND:group"),
    ("X-ADDRESSBOOKSERVER-MEMBER:urn:uuid:2", "MEMBER:urn:uuid:2"),
    ("X-GENDER:O;intersex", "GENDER:O;intersex"),
    ("NOTE;LANGUAGE=de:ein\\, zwei\\nDrei \\; vier", "NOTE;LANGUAGE=de:ein\\, zwei\\nDrei \\; vier"),
    ("ORG:A\\, Inc.;North;South", "ORG:A\\, Inc.;North;South"),
    ("CATEGORIES:a,b", "CATEGORIES:a,b"),
    ("URL;TYPE=work:https://a.example/?x=1,2", "URL;TYPE=work:https://a.example/?x=1,2"),
    (
        "X-SOCIALPROFILE;type=twitter;x-user=a:http://t.example/a",
        "X-SOCIALPROFILE;type=twitter;x-user=a:http://t.example/a",
    ),
    ('X-UNKNOWN;X-P="a,b;c":1', 'X-UNKNOWN;X-P="a,b;c":1'),
    ("RELATED;VALUE=text:x", "RELATED;VALUE=text:x"),
    ("CLASS:PUBLIC", "CLASS:PUBLIC"),
]


@pytest.mark.parametrize(("three", "four"), BOTH_WAYS)
def test_both_ways(three: str, four: str) -> None:
    assert to_4(three) == [four]
    assert to_3(four) == [three]


@pytest.mark.parametrize(
    ("three", "four"),
    [
        ("TEL;HOME;VOICE:1", "TEL;TYPE=HOME,VOICE:1"),  # as in version 2.1
        ("TEL;TYPE=HOME;TYPE=pref:1", "TEL;TYPE=HOME;PREF=1:1"),
        ("TEL;PREF:1", "TEL;PREF=1:1"),
        ("EMAIL;TYPE=INTERNET:a@b", "EMAIL:a@b"),
        ("EMAIL;type=INTERNET;type=HOME;type=pref:a@b", "EMAIL;TYPE=HOME;PREF=1:a@b"),
        ("NOTE;CHARSET=UTF-8:\u00fc", "NOTE:\u00fc"),
        ("NOTE;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:M=C3=BCller=0Aneu", "NOTE:M\u00fcller\\nneu"),
        ("NOTE;ENCODING=8BIT:x", "NOTE:x"),
        ("PHOTO;BASE64;JPEG:/9j/4AAQ", "PHOTO:data:image/jpeg;base64,/9j/4AAQ"),
        ("PHOTO;ENCODING=BASE64:/9j/ 4AAQ", "PHOTO:data:image/jpeg;base64,/9j/4AAQ"),
        ("PHOTO;ENCODING=b:AAAA", "PHOTO:data:application/octet-stream;base64,AAAA"),
        ("PHOTO;ENCODING=b;TYPE=JPEG:not base64!", "PHOTO;ENCODING=b;TYPE=JPEG:not base64!"),
        ("KEY;TYPE=PGP:-----BEGIN", "KEY;VALUE=text;MEDIATYPE=application/pgp-keys:-----BEGIN"),
        ("BDAY;VALUE=date:1996-04-15", "BDAY:19960415"),
        ("BDAY:19960415", "BDAY:19960415"),
        ("BDAY:--04-15", "BDAY:--0415"),
        ("BDAY:soon", "BDAY:soon"),
        ("X-GENDER:Female", "GENDER:F"),
        ("GEO:somewhere", "GEO:somewhere"),
        ("TZ;VALUE=text:Europe/Berlin", "TZ;VALUE=text:Europe/Berlin"),
    ],
)
def test_to_4(three: str, four: str) -> None:
    assert to_4(three) == [four]


@pytest.mark.parametrize(
    ("four", "three"),
    [
        ('TEL;VALUE=uri;PREF=1;TYPE="voice,home":tel:+1-555-555-5555', "TEL;TYPE=voice,home,pref:+1-555-555-5555"),
        ("TEL;VALUE=uri:tel:+1-555;ext=5", "TEL:+1-555\\;ext=5"),
        ("TEL;VALUE=text:1", "TEL:1"),
        ("EMAIL;PREF=3:a@b", "EMAIL;TYPE=pref:a@b"),  # the only rank is the best
        ("PHOTO:data:image/gif,GIF%20x", "PHOTO;ENCODING=b;TYPE=GIF:R0lGIHg="),
        ("KEY;VALUE=text:secret", "KEY:secret"),
        ("TZ:Europe/Berlin", "TZ;VALUE=text:Europe/Berlin"),
        ("GEO:geo:1,2,3", "GEO:geo:1,2,3"),
        ("UID;VALUE=text:x", "UID:x"),
        ("BDAY:T102200", "BDAY;VALUE=text:T102200"),
        ("BDAY:---15", "BDAY;VALUE=text:---15"),
        ("LANG;PREF=1:fr", "LANG;TYPE=pref:fr"),
    ],
)
def test_to_3(four: str, three: str) -> None:
    assert to_3(four) == [three]


def test_of_several_ranks_the_first_is_kept() -> None:
    assert to_3("TEL;PREF=50:a", "TEL;PREF=2:b", "TEL:c", "EMAIL;PREF=9:d") == [
        "TEL:a",
        "TEL;TYPE=pref:b",
        "TEL:c",
        "EMAIL;TYPE=pref:d",
    ]


def test_labels_of_addresses() -> None:
    three = ["ADR;TYPE=home:;;Main St 1;;;;", 'LABEL;TYPE=home:Main St 1\\, A\\n"B"', "LABEL;TYPE=work:Elsewhere"]
    four = to_4(*three)
    assert four == [
        "ADR;TYPE=home;LABEL=\"Main St 1, A\\n^'B^'\":;;Main St 1;;;;",
        "LABEL;TYPE=work:Elsewhere",  # of no address: kept as it is
    ]
    assert to_3(*four) == three


def test_a_label_stays_in_its_group() -> None:
    three = ["item1.ADR:;;a;;;;", "item1.LABEL:A", "item2.ADR:;;b;;;;", "item2.LABEL:B"]
    four = ["item1.ADR;LABEL=A:;;a;;;;", "item2.ADR;LABEL=B:;;b;;;;"]
    assert to_4(*three) == four
    assert to_3(*four) == three


def test_how_a_name_is_sorted() -> None:
    names = b"UID:urn:x\r\nFN:a\r\nN:van Harten;Rene;;;\r\nSORT-STRING:Harten\r\n"
    three = b"BEGIN:VCARD\r\nVERSION:3.0\r\n" + names + b"END:VCARD\r\n"
    four = converted(three, V4)
    assert b"\r\nN;SORT-AS=Harten:van Harten;Rene;;;\r\nEND" in four
    assert converted(four, V3) == three


def test_names_that_a_version_must_have() -> None:
    for given_, fn in (("N:Meier;Anna;;;", "Anna Meier"), ("ORG:Acme;Sales", "Acme"), ("NOTE:x", "")):
        four = converted(f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:urn:x\r\n{given_}\r\nEND:VCARD\r\n".encode(), V4)
        assert f"\r\nFN:{fn}\r\n" in four.decode() or f"VCARD\r\nFN:{fn}\r\n" in four.decode()
    three = converted(b"BEGIN:VCARD\r\nVERSION:4.0\r\nUID:urn:x\r\nFN:Acme\\; Co\r\nEND:VCARD\r\n", V3)
    assert b"\r\nN:Acme\\; Co;;;;\r\n" in three


def test_a_uid_stays_the_same_whatever_it_is() -> None:
    for uid in ("urn:uuid:1", "19950401-080045", "a:b", "4fbe8971"):
        body = f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{uid}\r\nFN:a\r\nN:a;;;;\r\nEND:VCARD\r\n".encode()
        four = converted(body, V4)
        assert check_vcard(four).uid == uid
        assert converted(four, V3) == body


@pytest.mark.parametrize("path", sorted(RFC.glob("*.vcf")), ids=lambda path: path.stem)
def test_examples_of_the_standards_there_and_back(path: Path) -> None:
    body = path.read_bytes()
    if len(parse(body).roots) > 1:
        return
    own = version_of(body)
    other = V4 if own == V3 else V3
    there = converted(body, other)
    assert version_of(there) == other
    if "UID" in body.decode():
        assert check_vcard(there).uid == check_vcard(body).uid
    # What a version cannot say is lost once; from then on it is the same there and back.
    back = converted(there, own)
    assert version_of(back) == own
    assert converted(back, other) == there


def test_what_is_of_that_version_already_is_not_touched() -> None:
    body = b"begin:vcard\nversion:3.0\nfn: a \nend:vcard\n"
    assert converted(body, V3) is body
    assert converted(b"", V4) == b""
    odd = b"BEGIN:VCARD\r\nVERSION:2.1\r\nEND:VCARD\r\n"
    assert converted(odd, V4) is odd


NAMES = st.sampled_from(
    [
        *("TEL", "ADR", "LABEL", "PHOTO", "BDAY", "KEY", "N", "FN", "GEO", "TZ", "UID", "REV", "X-Y", "X-GENDER"),
    ]
)
PARAMS = st.sampled_from(
    [
        *("", ";TYPE=home", ";PREF=1", ";pref", ';TYPE="a,b",pref', ";VALUE=uri", ";VALUE=text", ";ENCODING=b", ";B"),
        *(';LABEL="x\\ny"', ";ENCODING=QUOTED-PRINTABLE", ";X-APPLE-OMIT-YEAR=1604", ';SORT-AS="q,r"'),
        ";CHARSET=UTF-8",
    ]
)
ODD = [
    *("data:image/png;base64,AAAA", "data:,x", "1604-04-15", "--0415", "19960415T10", "geo:1,2", "1;2", "tel:+1;ext=2"),
    *("=C3=28", "=", "", "\\", "\\;;\\,", "http://x", "-0500", "AAAA"),
]
VALUES = st.sampled_from(ODD) | st.text(
    st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff"), max_size=12
)
CONTENT_LINES = st.builds(
    lambda name, params, value: f"{name}{''.join(params)}:{value}", NAMES, st.lists(PARAMS, max_size=2), VALUES
)


@given(st.sampled_from([V3, V4]), st.lists(CONTENT_LINES, max_size=6))
def test_any_card_becomes_a_card(version: str, lines: list[str]) -> None:
    body = f"BEGIN:VCARD\r\nVERSION:{version}\r\n".encode()
    body += b"".join(fold(line.encode()) for line in lines) + b"END:VCARD\r\n"
    other = V4 if version == V3 else V3
    there = converted(body, other)
    [root] = parse(there).roots
    assert root.values("VERSION") == [other]
    for name in ("X-Y", "TITLE"):
        assert root.values(name) == parse(body).roots[0].values(name) or "QUOTED-PRINTABLE" in body.decode()
    assert version_of(converted(there, version)) == version


@given(st.binary(min_size=1, max_size=300))
def test_pictures_come_back(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    three = f"PHOTO;ENCODING=b;TYPE=JPEG:{text}"
    assert to_3(*to_4(three)) == [three]
