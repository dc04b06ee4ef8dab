"""Law 2, "Loss is never a delete", over seeded disasters and devices that decide as real clients do.

See src/safehold/disaster/law_two.py for a course and what must hold. `--laws N` runs N seeds, `--law-seed S` begins
with that one (and runs it alone); `--long` runs two hundred more, `--laws 1000` a thousand. Broken houses, which must
be found out: test_mutants.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from safehold.disaster.course import small_limits
from safehold.disaster.law_two import LawTwo, run_seed
from safehold.lab.clients.tables import CLIENTS, NONE_FOUND, Do, Row, Table
from safehold.lab.oracle import Wrong

#: All in one process: the last test looks at what has happened in all of them.
pytestmark = pytest.mark.xdist_group("law two")

SEEDS, MANY = 30, 200
PARTS = 4
#: Seeds beyond these that have found something.
REMEMBERED = (243, 412, 420, 453, 489, 548, 623, 747, 858, 881, 946)

_happened: Counter[str] = Counter()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "law_seed" in metafunc.fixturenames:
        first, count = metafunc.config.getoption("--law-seed"), metafunc.config.getoption("--laws")
        count = count or (SEEDS if first is None else 1)
        seeds = range(first or 0, (first or 0) + count)
        metafunc.parametrize("law_seed", seeds, ids=[f"seed-{seed}" for seed in seeds])


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    with small_limits():
        yield


# -- the tables ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", CLIENTS, ids=lambda table: table.client)
def test_every_row_names_its_source(table: Table) -> None:
    for name, row in table._asdict().items():
        if isinstance(row, Row):
            assert isinstance(row.do, Do)
            assert row.source == NONE_FOUND or "/" in row.source, name


def test_what_is_not_known_of_a_client_is_taken_for_the_worse() -> None:
    for table in CLIENTS:
        for row in (table.missing_in_list, table.gone_in_sync, table.home_omits, table.token_403):
            assert row.source != NONE_FOUND, table.client


# -- courses ---------------------------------------------------------------------------------------------------------


def _run(seed: int) -> LawTwo:
    course = run_seed(seed)
    _happened.update(course.happened)
    _happened.update(
        {"courses": 1, "given up": course.given_up, "unsent": course.unsent, "proved": len(course._proved)}
    )
    return course


def test_no_device_deletes_what_the_server_lost(law_seed: int) -> None:
    assert _run(law_seed).unsent == 0, "what cannot be judged now goes into the intake"


@pytest.mark.parametrize("seed", REMEMBERED)
def test_what_was_found_once_stays_mended(seed: int) -> None:
    _run(seed)


def test_enough_happened(request: pytest.FixtureRequest) -> None:
    """A simulation in which nothing happens proves nothing."""
    if request.config.getoption("--law-seed") is not None or not _happened:
        pytest.skip("only after all the seeds")
    print(f"given up {_happened['given up']}, ends lost {_happened['the end was lost']}, unsent {_happened['unsent']}")
    often = [f"lost: {loss}" for loss in ("core", "core and near", "blobs", "rot", "nothing")]
    often += ["recover: part", "recover: whole", "struck again", "proved", "undo", "let_go"]
    often += ["recover: serving", "recovered while serving", "turn", "snapshot"]
    assert len(missing := [what for what in often if not _happened[what]]) <= 1, missing
    # These come once in ten to thirty courses, so that a few dozen may well lack several of them. A course draws by
    # its seed, but what it meets also depends on bytes that differ from run to run (keys, nonces, compressed sizes).
    rare = ["lost: near", "lost: far", "lost: an old core", "to an earlier time", "removed: list", "removed: sync"]
    rare += ["the end was lost", "end given up: operator", "end given up: person"]
    missing = [what for what in rare if not _happened[what]]
    assert len(missing) <= (len(rare) // 2 if _happened["courses"] < MANY else 0), missing


@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
def test_many_more_courses(part: int) -> None:
    size = MANY // PARTS
    for seed in range(SEEDS + part * size, SEEDS + (part + 1) * size):
        run_seed(seed)


def test_a_failing_seed_says_how_to_run_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: LawTwo) -> None:
        raise Wrong("on purpose")

    monkeypatch.setattr(LawTwo, "finish", refuse)
    with pytest.raises(AssertionError, match=r"--course law-two --first 7(.|\n)*edit"):
        run_seed(7)
