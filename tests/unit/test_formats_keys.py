"""Keys as text, certificates, and the keys folder."""

from __future__ import annotations

import contextlib

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.formats import keys
from safehold.formats.keys import Opener, SigningKey, parse_recovery_key, recovery_key
from safehold.formats.keytext import bech32, spell, unbech32, unspell
from safehold.lab.simdisk import Crash, SimDisk
from safehold.lab.world import SeededEntropy
from safehold.model.errors import Damaged, OperatorError
from safehold.vault.keyring import RECOVERY, ensure_keyring, load_identity, load_keyring
from tests.support.faults import power_loss_after
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
        assert (opener.identity, opener.installation) == (IDENTITY, INSTALLATION)


def test_every_typo_is_noticed() -> None:
    body = len(keys.RECOVERY_LABEL) + 1
    for place in range(body, len(KEY)):
        if KEY[place] == "-":
            continue
        for other in "0123456789ABCDEFGHJKMNPQRSTVWXYZ":
            if other != KEY[place]:
                with pytest.raises(Damaged):
                    parse_recovery_key(KEY[:place] + other + KEY[place + 1 :])


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


def test_certificates() -> None:
    root, writer, other = (SigningKey(letter * 32) for letter in (b"a", b"b", b"c"))
    certificate = keys.certify(root, writer.public)
    id_ = keys.fingerprint(root.public)
    assert keys.certificate_holds(id_, root.public, writer.public, certificate)
    assert not keys.certificate_holds(id_, root.public, other.public, certificate)
    assert not keys.certificate_holds(id_, other.public, writer.public, keys.certify(other, writer.public))
    assert not keys.certificate_holds(keys.fingerprint(other.public), root.public, writer.public, certificate)


def text_of(disk: SimDisk, path: str) -> str:
    file = disk.open(path)
    return file.read_at(0, 10_000).decode()


def test_a_keyring_is_made_once() -> None:
    disk = SimDisk()
    made = ensure_keyring(disk, "/keys", SeededEntropy(1))
    again = ensure_keyring(disk, "/keys", SeededEntropy(2))
    loaded = load_keyring(disk, "/keys")
    assert made.recovery_key == again.recovery_key == loaded.recovery_key
    assert made.sealer.writer.public == again.sealer.writer.public
    assert load_identity(disk, f"/keys/{RECOVERY}").installation == made.installation
    assert made.recovery_key in text_of(disk, f"/keys/{RECOVERY}")
    assert loaded.opener.decrypt(made.sealer.encrypt(b"x")) == b"x"


def test_making_a_keyring_survives_any_crash() -> None:
    for point in range(100):
        disk = SimDisk()
        disk.on_write_point = power_loss_after(point)
        made = None
        with contextlib.suppress(Crash):
            made = ensure_keyring(disk, "/keys", SeededEntropy(1))
        after = disk.crash(point)
        keyring = ensure_keyring(after, "/keys", SeededEntropy(2))
        assert keyring.recovery_key in text_of(after, f"/keys/{RECOVERY}")
        if made is not None:
            assert keyring.recovery_key == made.recovery_key
            assert point > 15
            return
    raise AssertionError("the keyring was never made")


@pytest.mark.parametrize("name", ["identity.txt", "root.txt"])
def test_a_keyring_that_lost_a_key_is_refused(name: str) -> None:
    disk = SimDisk()
    ensure_keyring(disk, "/keys", SeededEntropy(1))
    disk.remove(f"/keys/{name}")
    for act in (lambda: ensure_keyring(disk, "/keys", SeededEntropy(2)), lambda: load_keyring(disk, "/keys")):
        with pytest.raises(OperatorError, match=f"{name} is missing"):
            act()


@pytest.mark.parametrize("name", ["identity.txt", "root.txt", "writer.txt"])
def test_a_damaged_key_is_refused(name: str) -> None:
    disk = SimDisk()
    ensure_keyring(disk, "/keys", SeededEntropy(1))
    disk.flip_bit(f"/keys/{name}", disk.size(f"/keys/{name}") - 3)
    with pytest.raises(OperatorError, match=f"{name} is damaged"):
        load_keyring(disk, "/keys")


def test_a_recovery_key_that_was_moved_away_and_a_lost_writer_do_not_matter() -> None:
    disk = SimDisk()
    made = ensure_keyring(disk, "/keys", SeededEntropy(1))
    disk.remove(f"/keys/{RECOVERY}")
    assert load_keyring(disk, "/keys").installation == made.installation
    disk = SimDisk()
    made = ensure_keyring(disk, "/keys", SeededEntropy(1))
    disk.remove("/keys/writer.txt")
    again = ensure_keyring(disk, "/keys", SeededEntropy(2))
    assert again.installation == made.installation
    assert again.sealer.writer.public != made.sealer.writer.public


def test_an_identity_file_that_is_none() -> None:
    disk = SimDisk()
    with pytest.raises(OperatorError, match="no recovery key file"):
        load_identity(disk, "/nowhere")
    disk.open("/letter", write=True, create=True).write_at(0, b"dear diary")
    with pytest.raises(OperatorError, match="letter"):
        load_identity(disk, "/letter")
