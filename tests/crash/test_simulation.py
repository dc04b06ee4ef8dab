"""Whole systems under seeded faults and disasters, and proof that the oracle over them sees a broken word.

Every seed is one course of events; see src/safehold/disaster/simulation.py for what happens in one and what must hold.
`--simulations N` runs N of them, `--simulation-seed S` begins with that seed (and runs it alone).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from safehold.archiver.shipper import Shipper
from safehold.disaster.simulation import Simulation, run_seed
from safehold.lab.oracle import Wrong
from safehold.model.commands import AnyCommand, PutItem
from safehold.model.errors import NotFound, SafeholdError
from safehold.protocol import problems
from safehold.protocol.sync import DeviceAhead
from safehold.recovery import build as build_module
from safehold.service.engine import Engine, Result
from safehold.store.sqlite import connection
from safehold.store.sqlite.vfs import PAGE_BYTES
from safehold.vault.folder import FolderVault
from safehold.web import dav_sync
from safehold.web.dav_propfind import ItemLines

#: All in one process: the last test looks at what has happened in all of them.
pytestmark = pytest.mark.xdist_group("simulation")

#: Seeds after which a broken house must have been found out. Each of them finds nothing wrong with a whole one.
ENOUGH = 40

_happened: Counter[str] = Counter()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        first, count = metafunc.config.getoption("--simulation-seed"), metafunc.config.getoption("--simulations")
        seeds = range(first or 0, (first or 0) + (count or (200 if first is None else 1)))
        metafunc.parametrize("seed", seeds, ids=[f"seed-{seed}" for seed in seeds])


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that are reached within a small history."""
    monkeypatch.setattr(build_module, "BATCH_CHANGES", 7)
    monkeypatch.setattr(connection, "CHECKPOINT_BYTES", 40 * PAGE_BYTES)


def test_a_course_of_events(seed: int) -> None:
    _happened.update(run_seed(seed).happened)


def test_enough_happened(request: pytest.FixtureRequest) -> None:
    """A simulation in which nothing happens proves nothing."""
    if request.config.getoption("--simulation-seed") is not None or not _happened:
        pytest.skip("only after all the seeds")
    rare = ["disaster: core", "disaster: near", "disaster: core and near", "disaster: far", "disaster: blobs"]
    rare += ["disaster: restart", "crash", "fault", "full", "doubt: it had happened", "doubt: it had not happened"]
    rare += ["lost", "undo", "ask_tokens", "down: killed", "down: power", "interrupted: writer", "interrupted: shipper"]
    rare += [f"{op} {status}" for op in ("copy", "move") for status in (201, 204, 403, 412)]
    assert [what for what in rare if not _happened[what]] == []


# -- broken houses -----------------------------------------------------------------------------------------------------


def found_out(words: str = "") -> bool:
    for seed in range(ENOUGH):
        try:
            Simulation(seed).run()
        except Wrong as wrong:
            if words in str(wrong):
                return True
    return False


def appends_without_sync(self: FolderVault, name: str, expected: int, data: bytes) -> None:
    file = self._disk.open(self._at(name), write=True, create=True)
    file.write_at(expected, data)
    file.close()


def says_it_is_level(self: Shipper) -> int:
    return 0


def acknowledges_without_writing(original: Callable[..., list[Result]]) -> Callable[..., list[Result]]:
    """Now and then a PUT is answered, and then forgotten."""
    count = 0

    def execute_all(self: Engine, commands: Sequence[AnyCommand]) -> list[Result]:
        nonlocal count
        count += 1
        results = original(self, commands)
        if (
            count % 9 == 0
            and len(commands) == 1
            and isinstance(commands[0], PutItem)
            and not isinstance(results[0], SafeholdError)
        ):
            self.core.begin()
            self.core._db.execute("UPDATE item SET digest = zeroblob(32) WHERE name = ?", (commands[0].name,))
            self.core.commit()
        return results

    return execute_all


def loses_a_frame(original: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """The tail of the log is taken in but for its first changes."""

    def tail(self: Any) -> Iterator[Any]:
        skipped = False
        for entry in original(self):
            if getattr(entry, "changes", ()) and not skipped:
                skipped = True
                continue
            yield entry

    return tail


def test_a_vault_that_does_not_sync_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FolderVault, "append", appends_without_sync)
    assert found_out()


def test_a_status_that_hides_the_lag_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shipper, "unarchived_changes", property(says_it_is_level))
    assert found_out("status says 0")


def test_an_answer_without_a_write_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "execute_all", acknowledges_without_writing(Engine.execute_all))
    assert found_out()


def test_a_refused_token_of_a_lost_state_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(problems._STATUS, DeviceAhead, 403)
    assert found_out("not 503")


def test_a_shortened_listing_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The devices' own scoring: an item that a listing leaves out is dropped, and nobody had deleted it."""
    original = dav_sync._sync_lines

    def shortened(*args: Any) -> tuple[ItemLines, str]:
        told, token = original(*args)
        return (told._replace(lines=told.lines[:-1]) if len(told.lines) > 2 else told), token

    monkeypatch.setattr(dav_sync, "_sync_lines", shortened)
    assert found_out("nobody deleted it")


def test_an_item_that_looks_absent_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """404 for what a disk error hides."""
    original = dav_sync.collection_at
    count = 0

    def forgetful(*args: Any) -> Any:
        nonlocal count
        count += 1
        if count % 50 == 0:
            raise NotFound("there is no such collection")
        return original(*args)

    monkeypatch.setattr(dav_sync, "collection_at", forgetful)
    assert found_out("answered 404")


def test_a_failing_seed_says_how_to_run_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Simulation) -> None:
        raise SafeholdError("on purpose")

    monkeypatch.setattr(Simulation, "finish", refuse)
    with pytest.raises(AssertionError, match=r"--simulation-seed 7(.|\n)*finish"):
        run_seed(7)
