"""Keys as text, certificates, and the keys folder."""

from __future__ import annotations

import random
from io import BytesIO

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.formats import keys
from safehold.formats.keys import KeyAway, Opener, Role, Sealer, SigningKey, parse_recovery_key, recovery_key
from safehold.formats.keytext import bech32, spell, unbech32, unspell
from safehold.model.errors import Damaged
from tests.support.logs import IDENTITY, INSTALLATION, OPENER, SEALER

KEY = recovery_key(IDENTITY, INSTALLATION)


@given(st.binary(min_size=1, max_size=60))
def test_spelling_comes_back(data: bytes) -> None:
    text = spell("LABEL-1", data)
    assert unspell("LABEL-1", text, len(data)) == data
    sloppy = text.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    assert unspell("LABEL-1", "label-1" + sloppy.removeprefix("label l"), len(data)) == data


@given(st.binary(min_size=32, max_size=32))
def test_identities_are_those_of_age(secret: bytes) -> None:
    identity = keys.identity_of(secret)
    assert str(pyrage.x25519.Identity.from_str(identity)) == identity
    assert unbech32("age-secret-key-", identity) == secret
    assert bech32("age-secret-key-", secret).upper() == identity
    assert keys.recipient_of(identity).startswith("age1")


def test_recovery_keys_come_back() -> None:
    for text in (KEY, f"# a comment\n\n{KEY}\n", f"  {KEY.lower()}\r\n", KEY[:40] + "\n" + KEY[40:]):
        opener = parse_recovery_key(text)
        assert (opener.identities, opener.installation) == ((IDENTITY,), INSTALLATION)


def test_every_typo_is_noticed_and_its_group_is_named() -> None:
    draw = random.Random(1)
    groups = KEY.removeprefix(keys.RECOVERY_LABEL + "-").split("-")
    for number, group in enumerate(groups):
        for place in range(len(group)):
            others = [c for c in "0123456789ABCDEFGHJKMNPQRSTVWXYZ" if c != group[place]]
            wrong = group[:place] + draw.choice(others) + group[place + 1 :]
            text = "-".join([keys.RECOVERY_LABEL, *groups[:number], wrong, *groups[number + 1 :]])
            with pytest.raises(Damaged, match=f"look at group {number + 1} after .* reads {wrong}"):
                parse_recovery_key(text)


def test_two_letters_that_changed_places_are_found_and_two_typos_are_not_guessed_at() -> None:
    groups = KEY.removeprefix(keys.RECOVERY_LABEL + "-").split("-")
    swapped = groups[3][:1] + groups[3][2] + groups[3][1] + groups[3][3:]
    assert swapped != groups[3]
    with pytest.raises(Damaged, match=f"look at group 4 .* {swapped}"):
        parse_recovery_key("-".join([keys.RECOVERY_LABEL, *groups[:3], swapped, *groups[4:]]))
    twice = ["ZZ" + groups[0][2:], *groups[1:5], "ZZ" + groups[5][2:], *groups[6:]]
    with pytest.raises(Damaged, match="more than one place"):
        parse_recovery_key("-".join([keys.RECOVERY_LABEL, *twice]))


@pytest.mark.parametrize(
    "scanned",
    [
        KEY.replace("-", "\N{NON-BREAKING HYPHEN}"),
        KEY.replace("-", " \N{EM DASH}\N{NO-BREAK SPACE}"),
        KEY.replace("-", "\N{MINUS SIGN}"),
        KEY.replace("0", "O").replace("1", "I"),
        KEY.replace("O", "0").replace("1", "l"),
        "".join(chr(ord(c) + 0xFEE0) for c in KEY),  # full width
        "\n".join(KEY[i : i + 11] for i in range(0, len(KEY), 11)),
        "\ufeff" + KEY.lower(),
    ],
)
def test_what_a_scanner_makes_of_a_key_is_read(scanned: str) -> None:
    assert parse_recovery_key(scanned).identities == (IDENTITY,)


def test_a_text_of_several_keys_gives_all_their_identities() -> None:
    older = keys.identity_of(b"o" * 32)
    text = f"# new\n{KEY}\n# old\n{recovery_key(older, INSTALLATION)}\n"
    assert parse_recovery_key(text).identities == (IDENTITY, older)
    with pytest.raises(Damaged, match="different installations"):
        parse_recovery_key(f"{KEY}\n{recovery_key(older, bytes(16))}")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no recovery key"),
        ("# only a comment", "no recovery key"),
        (KEY[:-1], "characters long"),
        (KEY + "A", "characters long"),
        (KEY.replace("-", "U", 5), "'U'"),
        (IDENTITY, "bare age identity"),
        ("dear diary", "9 characters long"),
    ],
)
def test_what_is_wrong_with_a_recovery_key_is_said(text: str, why: str) -> None:
    with pytest.raises(Damaged, match=why):
        parse_recovery_key(text)


def test_opening_what_was_sealed() -> None:
    assert OPENER.decrypt(SEALER.encrypt(b"hello")) == b"hello"
    stranger = Opener(keys.identity_of(b"s" * 32), INSTALLATION)
    with pytest.raises(Damaged, match="decrypt"):
        stranger.decrypt(SEALER.encrypt(b"hello"))


def test_each_recipient_opens_and_older_identities_open_what_was_sealed_to_them() -> None:
    new = keys.identity_of(b"n" * 32)
    both = Sealer([keys.recipient_of(new), SEALER.recipients[0]], SEALER.writer, SEALER.root_public, SEALER.certificate)
    for identity in (new, IDENTITY):
        assert Opener(identity, INSTALLATION).decrypt(both.encrypt(b"both")) == b"both"
    rotated = Opener(new, INSTALLATION).with_older([IDENTITY])
    assert rotated.decrypt(SEALER.encrypt(b"old")) == b"old"
    assert rotated.identities == (new, IDENTITY)


def test_without_an_identity_it_is_the_key_that_is_missing_not_the_data() -> None:
    closed = Opener((), INSTALLATION)
    assert not closed.can_open
    with pytest.raises(KeyAway, match="recovery key") as caught:
        closed.decrypt(SEALER.encrypt(b"hello"))
    assert "--identity FILE" in caught.value.hint


def test_what_names_too_many_recipients_is_not_tried() -> None:
    def sealed(count: int) -> bytes:
        own = pyrage.x25519.Recipient.from_str(SEALER.recipients[0])
        return bytes(pyrage.encrypt(b"x", [own] * count))

    opener = Opener(IDENTITY, INSTALLATION)
    for good in (1, keys.MAX_RECIPIENTS):
        for _ in range(20):  # age adds stanzas by chance
            assert opener.decrypt(sealed(good)) == b"x"
            sink = BytesIO()
            opener.decrypt_stream(BytesIO(sealed(good)), sink)
            assert sink.getvalue() == b"x"
    for bad in (sealed(keys.MAX_STANZAS + 1), sealed(1000), b"", b"age-encryption.org/v1\n" + b"-> x\n" * 9999):
        with pytest.raises(Damaged, match="does not decrypt with this key"):
            opener.decrypt(bad)
        with pytest.raises(Damaged, match="does not decrypt with this key"):
            opener.decrypt_stream(BytesIO(bad), BytesIO())


@pytest.mark.parametrize("size", [0, 1, 100_000, 1_000_000])
def test_a_stream_comes_back_whatever_the_pieces(size: int) -> None:
    plain = bytes(size)
    sealed, sink = BytesIO(), BytesIO()
    SEALER.encrypt_stream(BytesIO(plain), sealed)
    OPENER.decrypt_stream(_Dribble(sealed.getvalue()), sink)
    assert sink.getvalue() == plain


class _Dribble(BytesIO):
    """Gives less than it is asked for."""

    def read(self, count: int | None = -1, /) -> bytes:
        return super().read(count if count is None or count < 0 else min(count, 1000))


@pytest.mark.parametrize("text", ["", "age1", IDENTITY, "age1" + "q" * 58])
def test_what_is_no_recipient(text: str) -> None:
    with pytest.raises(Damaged, match="recipient"):
        Sealer([text], SEALER.writer, SEALER.root_public, SEALER.certificate)


def test_certificates_travel_as_text() -> None:
    root, keeper = SigningKey(b"a" * 32), SigningKey(b"k" * 32)
    made = keys.Certificate(root.public, keeper.public, keys.certify(root, keeper.public, Role.KEEPER))
    assert keys.parse_certificate(made.text()) == made
    assert made.holds(Role.KEEPER)
    assert not made.holds(Role.WRITER)


def test_certificates() -> None:
    root, writer, other = (SigningKey(letter * 32) for letter in (b"a", b"b", b"c"))
    certificate = keys.certify(root, writer.public)
    id_ = keys.fingerprint(root.public)
    assert keys.certificate_holds(id_, root.public, writer.public, certificate)
    assert not keys.certificate_holds(id_, root.public, other.public, certificate)
    assert not keys.certificate_holds(id_, other.public, writer.public, keys.certify(other, writer.public))
    assert not keys.certificate_holds(keys.fingerprint(other.public), root.public, writer.public, certificate)
