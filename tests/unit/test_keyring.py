"""The keys folder: made, completed, loaded; what may lie elsewhere, and what is a loss."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from safehold.disaster.faults import power_loss_after
from safehold.formats import keys
from safehold.formats.keys import KeyAway, Role, SigningKey, certificate_holds
from safehold.formats.keytext import spell
from safehold.lab.simdisk import Crash, SimDisk
from safehold.lab.world import SeededEntropy
from safehold.model.errors import OperatorError
from safehold.vault import keychange, keyring
from safehold.vault.keyring import (
    IDENTITY,
    KEEPER,
    RECIPIENTS,
    RECOVERY,
    ROOT,
    WRITER,
    Keyring,
    complete_keyring,
    ensure_keyring,
    load_identity,
    load_keeper,
    load_keyring,
)

FOLDER = "/keys"
NEW_FILES = (RECIPIENTS, KEEPER)


def text_of(disk: SimDisk, name: str) -> str:
    return disk.open(f"{FOLDER}/{name}").read_at(0, 10_000).decode()


def write(disk: SimDisk, name: str, text: str) -> None:
    file = disk.open(f"{FOLDER}/{name}", write=True, create=True)
    file.truncate(0)
    file.write_at(0, text.encode())
    file.sync()
    file.close()
    disk.sync_folder(FOLDER)


def made(disk: SimDisk, seed: int = 1) -> Keyring:
    return ensure_keyring(disk, FOLDER, SeededEntropy(seed))


def old_folder() -> SimDisk:
    """As the version wrote it that knew neither recipients nor keepers nor certificates on disk."""
    disk = SimDisk()
    disk.make_folders(FOLDER)
    identity, root = keys.identity_of(b"i" * 32), SigningKey(b"r" * 32)
    write(disk, IDENTITY, f"# public key: {keys.recipient_of(identity)}\n{identity}\n")
    write(disk, ROOT, spell(keys.ROOT_LABEL, root.secret) + "\n")
    write(disk, RECOVERY, "# words\n\n" + keys.recovery_key(identity, keys.fingerprint(root.public)) + "\n")
    write(disk, WRITER, spell(keys.WRITER_LABEL, b"w" * 32) + "\n")
    return disk


def at_every_write_point(begin: Callable[[], SimDisk], act: Callable[[SimDisk], object]) -> list[SimDisk]:
    """The disk after a loss of power at each write point of `act`, and after none."""
    found = []
    for point in range(200):
        disk = begin()
        disk.on_write_point = power_loss_after(point)
        with contextlib.suppress(Crash):
            act(disk)
            found.append(disk.crash(point))
            return found
        found.append(disk.crash(point))
    raise AssertionError("it never ended")


def test_a_keyring_is_made_once() -> None:
    disk = SimDisk()
    first, again, loaded = made(disk), made(disk, 2), load_keyring(disk, FOLDER)
    assert first.recovery_key == again.recovery_key == loaded.recovery_key
    assert first.sealer.writer.public == again.sealer.writer.public
    assert load_identity(disk, f"{FOLDER}/{RECOVERY}").installation == first.installation
    assert str(first.recovery_key) in text_of(disk, RECOVERY)
    assert loaded.opener.decrypt(first.sealer.encrypt(b"x")) == b"x"


def test_writer_and_keeper_are_certified_in_their_own_roles() -> None:
    ring = made(SimDisk())
    assert ring.keeper is not None
    for sealer, role in ((ring.sealer, Role.WRITER), (ring.keeper, Role.KEEPER)):
        for asked in Role:
            holds = certificate_holds(
                ring.installation, sealer.root_public, sealer.writer.public, sealer.certificate, asked
            )
            assert holds is (asked is role)
    assert ring.opener.decrypt(ring.keeper.encrypt(b"x")) == b"x"


def test_making_a_keyring_survives_any_crash() -> None:
    disks = at_every_write_point(SimDisk, made)
    assert len(disks) > 20
    for disk in disks:
        ring = made(disk, 2)
        assert str(ring.recovery_key) in text_of(disk, RECOVERY)
        assert (ring.root, ring.keeper) != (None, None)
    assert made(disks[-1], 3).recovery_key == made(SimDisk()).recovery_key


def test_a_folder_of_an_older_version_loads_as_it_is_and_is_completed_at_any_crash() -> None:
    before = load_keyring(old_folder(), FOLDER)
    assert before.keeper is None
    disks = at_every_write_point(old_folder, lambda disk: complete_keyring(disk, FOLDER, SeededEntropy(1)))
    assert len(disks) > 5
    for disk in disks:
        assert load_keyring(disk, FOLDER).sealer.writer.public == before.sealer.writer.public
        ring = made(disk, 2)
        assert (ring.installation, ring.recovery_key) == (before.installation, before.recovery_key)
        assert (ring.sealer.writer.public, ring.sealer.recipients) == (
            before.sealer.writer.public,
            before.sealer.recipients,
        )
        assert ring.keeper is not None
        disk.remove(f"{FOLDER}/{ROOT}")
        assert load_keyring(disk, FOLDER).sealer.certificate == ring.sealer.certificate


def test_completing_what_is_whole_writes_nothing() -> None:
    disk = SimDisk()
    made(disk)
    disk.on_write_point = power_loss_after(0)
    complete_keyring(disk, FOLDER, SeededEntropy(2))


@pytest.mark.parametrize("name", [IDENTITY, ROOT])
def test_an_old_folder_that_lost_a_key_is_refused(name: str) -> None:
    disk = old_folder()
    disk.remove(f"{FOLDER}/{name}")
    for act in (lambda: made(disk, 2), lambda: load_keyring(disk, FOLDER)):
        with pytest.raises(OperatorError, match=f"{name} is missing"):
            act()


def test_identity_and_root_may_lie_elsewhere() -> None:
    disk = SimDisk()
    whole = made(disk)
    disk.remove(f"{FOLDER}/{IDENTITY}")
    disk.remove(f"{FOLDER}/{RECOVERY}")
    disk.remove(f"{FOLDER}/{ROOT}")
    ring = made(disk, 2)
    assert (ring.root, ring.recovery_key) == (None, None)
    assert ring.sealer.certificate == whole.sealer.certificate
    assert whole.opener.decrypt(ring.sealer.encrypt(b"x")) == b"x"
    with pytest.raises(KeyAway):
        ring.opener.decrypt(whole.sealer.encrypt(b"x"))
    assert not disk.exists(f"{FOLDER}/{IDENTITY}"), "another one would open nothing"


def test_without_the_root_no_writer_can_be_made() -> None:
    disk = SimDisk()
    made(disk)
    disk.remove(f"{FOLDER}/{ROOT}")
    disk.remove(f"{FOLDER}/{WRITER}")
    with pytest.raises(OperatorError, match=f"{WRITER} is missing"):
        load_keyring(disk, FOLDER)
    with pytest.raises(OperatorError, match=f"{ROOT} is missing|{WRITER} is missing"):
        made(disk, 2)


@pytest.mark.parametrize("name", [IDENTITY, RECIPIENTS, ROOT, WRITER, KEEPER])
def test_a_damaged_key_is_refused(name: str) -> None:
    disk = SimDisk()
    made(disk)
    disk.flip_bit(f"{FOLDER}/{name}", disk.size(f"{FOLDER}/{name}") - 3)
    with pytest.raises(OperatorError, match=f"{name} is damaged"):
        load_keyring(disk, FOLDER)


def test_a_root_of_another_installation_is_refused() -> None:
    disk = SimDisk()
    made(disk)
    keyring.write_root(disk, FOLDER, b"s" * 32)
    with pytest.raises(OperatorError, match="different installations"):
        load_keyring(disk, FOLDER)


def test_a_writer_that_the_keeper_certificate_is_copied_to_is_refused() -> None:
    disk = SimDisk()
    made(disk)
    key = text_of(disk, WRITER).splitlines()[0]
    write(disk, WRITER, f"{key}\n{text_of(disk, KEEPER).splitlines()[1]}\n")
    with pytest.raises(OperatorError, match="none for this role"):
        load_keyring(disk, FOLDER)


def test_a_recovery_key_that_was_moved_away_and_a_lost_writer_do_not_matter() -> None:
    disk = SimDisk()
    first = made(disk)
    disk.remove(f"{FOLDER}/{RECOVERY}")
    assert made(disk, 2).installation == first.installation
    assert not disk.exists(f"{FOLDER}/{RECOVERY}"), "it was moved away on purpose"
    disk.remove(f"{FOLDER}/{WRITER}")
    again = made(disk, 2)
    assert again.installation == first.installation
    assert again.sealer.writer.public != first.sealer.writer.public


def test_a_keeper_in_its_own_folder_reads_and_signs_as_keeper() -> None:
    disk = SimDisk()
    ring = made(disk)
    disk.make_folders("/keeper")
    for name in (IDENTITY, RECIPIENTS, KEEPER):
        keyring.copy_key(disk, FOLDER, name, "/keeper")
    keyring.remove_secret(disk, FOLDER, Role.KEEPER)
    theirs = load_keeper(disk, "/keeper")
    assert theirs.installation == ring.installation
    assert theirs.opener.decrypt(ring.sealer.encrypt(b"x")) == b"x"
    left = load_keyring(disk, FOLDER)
    assert (left.keeper, left.keeper_public) == (None, theirs.sealer.writer.public)
    with pytest.raises(OperatorError, match=f"{KEEPER} is missing"):
        load_keeper(disk, FOLDER)
    with pytest.raises(OperatorError):
        ensure_keyring(disk, "/keeper", SeededEntropy(9))


# -- changes, cut off anywhere


def opens(disk: SimDisk, folder: str = FOLDER) -> bool:
    """Whether the recovery keys of a folder open what is sealed with the keys of FOLDER."""
    sealed = load_keyring(disk, FOLDER).sealer.encrypt(b"x")
    return load_identity(disk, f"{folder}/{RECOVERY}").decrypt(sealed) == b"x"


def whole() -> SimDisk:
    disk = SimDisk()
    made(disk)
    return disk


def test_a_new_identity_is_complete_or_can_be_made_again_at_any_crash() -> None:
    old = made(SimDisk())
    disks = at_every_write_point(whole, lambda disk: keychange.new_identity(disk, FOLDER, b"n" * 32))
    assert len(disks) > 8
    for disk in disks:
        ring = load_keyring(disk, FOLDER)
        assert opens(disk)
        for before in (old.sealer.encrypt(b"old"), ring.sealer.encrypt(b"old")):
            assert ring.opener.decrypt(before) == b"old"
        opener = keychange.new_identity(disk, FOLDER, b"m" * 32)
        assert opener.decrypt(load_keyring(disk, FOLDER).sealer.encrypt(b"new")) == b"new"
        assert len(load_keyring(disk, FOLDER).sealer.recipients) == 1
    assert load_keyring(disks[-1], FOLDER).opener.identities[1] == keys.identity_of(b"n" * 32)


def test_a_new_identity_leaves_other_recipients_alone() -> None:
    disk, friend = whole(), keys.recipient_of(keys.identity_of(b"f" * 32))
    keyring.write_recipients(disk, FOLDER, [friend, *load_keyring(disk, FOLDER).sealer.recipients])
    opener = keychange.new_identity(disk, FOLDER, b"n" * 32)
    assert load_keyring(disk, FOLDER).sealer.recipients == (keys.recipient_of(opener.identities[0]), friend)


def test_an_identity_is_never_nowhere_while_it_is_moved() -> None:
    disks = at_every_write_point(whole, lambda disk: keychange.identity_away(disk, FOLDER, "/away"))
    assert len(disks) > 12
    for disk in disks:
        here = load_keyring(disk, FOLDER)
        assert here.opener.can_open or opens(disk, "/away")
        keychange.identity_away(disk, FOLDER, "/away")
        ring = load_keyring(disk, FOLDER)
        assert opens(disk, "/away") and not ring.opener.can_open
        assert load_keeper(disk, "/away").sealer.writer.public == ring.keeper_public
        assert "AGE-SECRET" not in "".join(text_of(disk, entry.name) for entry in disk.list(FOLDER))


def test_an_identity_whose_copy_opens_nothing_is_not_removed() -> None:
    disk = whole()
    keyring.write_recipients(disk, FOLDER, [keys.recipient_of(keys.identity_of(b"f" * 32))])
    with pytest.raises(OperatorError, match="nothing was removed"):
        keychange.identity_away(disk, FOLDER, "/away")
    assert load_keyring(disk, FOLDER).opener.can_open


def test_a_root_is_never_nowhere_while_it_is_moved() -> None:
    for disk in at_every_write_point(whole, lambda disk: keychange.root_away(disk, FOLDER, "/away")):
        root = load_keyring(disk, FOLDER).root or keyring.load_root(disk, f"/away/{ROOT}")
        assert keys.fingerprint(root.public) == load_keyring(disk, FOLDER).installation
        keychange.root_away(disk, FOLDER, "/away")
        assert load_keyring(disk, FOLDER).root is None
    disk = whole()
    keyring.remove_key(disk, FOLDER, ROOT)
    disk.make_folders("/away")
    keyring.write_root(disk, "/away", b"s" * 32)
    with pytest.raises(OperatorError, match="not that of this installation"):
        keychange.root_away(disk, FOLDER, "/away")


def test_an_identity_file_that_is_none() -> None:
    disk = SimDisk()
    disk.make_folders(FOLDER)
    with pytest.raises(OperatorError, match="no recovery key file"):
        load_identity(disk, "/nowhere")
    write(disk, "letter", "dear diary")
    with pytest.raises(OperatorError, match="letter"):
        load_identity(disk, f"{FOLDER}/letter")
