"""Power fails while a bare machine gets its keys back: no start makes anything new there, and a second run ends it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from safehold.assembly.bare import bring_keys
from safehold.assembly.installation import Installation
from safehold.config import Config
from safehold.disaster.faults import power_loss_after
from safehold.formats import travelling
from safehold.formats.keys import Opener
from safehold.lab.simdisk import Crash, SimDisk
from safehold.lab.world import SeededEntropy
from safehold.model.errors import OperatorError
from safehold.vault.keyring import Keyring, ensure_keyring, is_complete, load_identity, load_keyring

DATA = "/data"
KEYS = f"{DATA}/keys"


@pytest.fixture(scope="module")
def lost() -> Keyring:
    """The keys of the machine that is gone."""
    return ensure_keyring(SimDisk(), "/keys", SeededEntropy(1))


def machine(disk: SimDisk, lost: Keyring) -> Installation:
    found = Installation(Path(DATA), Config())
    found.disk = disk  # type: ignore[assignment]
    found.entropy = SeededEntropy(2)  # type: ignore[assignment]
    found.use_identity(Opener(lost.opener.identities, lost.installation))
    return found


def test_at_every_write_point_a_second_run_ends_it_and_no_start_begins_anew(lost: Keyring) -> None:
    assert lost.root is not None
    sealed = travelling.seal_root(lost.root, lost.sealer)
    for point in range(200):
        disk = SimDisk()
        disk.make_folders(DATA)
        disk.on_write_point = power_loss_after(point)
        ended = False
        with contextlib.suppress(Crash):
            bring_keys(machine(disk, lost), sealed)
            ended = True
        after = disk.crash(point)
        if after.exists(KEYS) and list(after.list(KEYS)):
            started = machine(after, lost)
            with pytest.raises(OperatorError, match="the core is missing"):
                started.refuse_history_without_core()
        bring_keys(machine(after, lost), sealed)
        ring = load_keyring(after, KEYS)
        assert is_complete(after, KEYS)
        assert (ring.installation, ring.opener.identities) == (lost.installation, lost.opener.identities)
        assert load_identity(after, f"{KEYS}/recovery.txt").identities == lost.opener.identities
        assert ring.sealer.recipients == lost.sealer.recipients
        assert ring.sealer.writer.public != lost.sealer.writer.public
        assert ring.keeper is not None
        if ended:
            assert point > 20
            return
    raise AssertionError("it never ended")
