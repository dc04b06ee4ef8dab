"""Recoveries against a dictionary: any history, any generations of it, any place where the log begins."""

from __future__ import annotations

import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safehold.lab.simdisk import SimDisk
from safehold.model.change import Op
from safehold.model.kinds import Kind
from safehold.recovery.plan import make_plan
from safehold.recovery.run import run_plan
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.log import VaultLogReader
from safehold.vault.runs import Runs
from tests.support.recovery_fakes import FakeBlobs, FakeClock, History, an_id, card
from tests.support.recovery_vaults import Vaults
from tests.support.runs import Generations, framed

NAMES = ("ada", "bob", "eve")
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "put", "delete", "props"]), st.sampled_from(NAMES), st.integers(0, 4)),
    min_size=5,
    max_size=60,
)
Model = dict[tuple[str, str], bytes]


def told(steps: list[tuple[str, str, int]]) -> tuple[History, Model]:
    """A history of these steps, and what lives at its end: (account, name) -> body."""
    history, model = History(), Model()
    kept = Model()  # digests of properties
    for name in NAMES:
        history.account(name)
    for number, (what, name, item) in enumerate(steps):
        key = (name, f"{item}.vcf")
        if what == "put":
            model[key] = card(f"{name}-{item}", str(number))
            history.put(name, Kind.CONTACTS, key[1], model[key], kept_props=kept.get(key, b""))
        elif key in model and what == "delete":
            del model[key]
            kept.pop(key, None)
            history.delete(name, Kind.CONTACTS, key[1])
        elif key in model:
            props = {"{urn:x}n": f"<n>{number}</n>"}
            kept[key] = history.props(name, Kind.CONTACTS, key[1], props).props_digest
    history.seal()
    return history, model


def live(core: SqliteCore) -> Model:
    found = Model()
    for name in NAMES:
        account = core.account_by_id(an_id(name))
        assert account is not None
        for collection in core.collections(account.number, "contacts/"):
            for item in core.items(collection):
                body = core.body(item).inline
                assert body is not None
                found[name, item.name] = body
    return found


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), STEPS)
def test_what_lives_comes_back_from_any_generations(data: st.DataObject, steps: list[tuple[str, str, int]]) -> None:
    history, model = told(steps)
    vaults = Vaults(history, group=3, seal=4, segment_bytes=2048)
    entries = list(vaults.reader().entries())
    positions = [entry.position for entry in entries]  # type: ignore[union-attr]
    frames = sorted(data.draw(st.sets(st.integers(2, len(positions)), min_size=1, max_size=4), label="generations"))
    written = Generations([vaults.near], vaults.keyring.sealer, index_changes=5, bodies=300)
    older: list[object] = []
    for number, frame in enumerate(frames):
        position = positions[frame - 1]
        full = number == 0 or data.draw(st.booleans(), label="full")
        dropped = data.draw(st.integers(0, frame), label="dropped") if full else 0
        options = {"dropped_upto": dropped} if full else {"since": (frames[number - 1],), "older": older}
        older = list(written.make(framed(entries), position, parts=3, **options).runs)  # type: ignore[arg-type]
    names = vaults.segments()
    for name, later in itertools.pairwise(names):  # the log begins at the newest generation
        if 0 < int(later[-16:-4]) <= frames[-1]:
            del vaults.near.objects[name]
    disk = SimDisk()
    disk.make_folders("/data")

    def core_in(folder: str) -> SqliteCore:
        return SqliteCore.open(f"{folder}/core.db", disk=disk, create=True)

    opener = vaults.keyring.opener
    plan = make_plan(
        VaultLogReader([vaults.near], opener), [vaults.near], FakeClock(), runs=Runs([vaults.near], opener)
    )
    assert plan.generation == frames[-1]
    result = run_plan(
        plan,
        VaultLogReader([vaults.near], opener),
        make_core=core_in,
        blobs=FakeBlobs(),
        disk=disk,
        data="/data",
        clock=FakeClock(),
        claim=lambda: vaults.claim(vaults.near),
        runs=Runs([vaults.near], opener),
    )
    assert result.report.exit_code == 0, result.report.lost
    core = core_in("/data/core")
    assert live(core) == model
    known = {change.hash for change in history.changes}
    assert all(change.hash in known for _, _, change in core.changes(limit=10_000))
    puts = [c for _, _, c in core.changes(limit=10_000) if c.op is Op.PUT]
    assert all(change.body is not None for change in puts)
    core.close()
