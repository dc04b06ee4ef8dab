"""Proof that the simulator sees: houses that break their word, each in one way, and each found out.

In the ordinary run each is given the one seed that is known to find it, and the message has to name the rule that was
broken. `--long` begins with seed 0, and counts how many it takes (docs/simulation.md has the table).
"""

from __future__ import annotations

import pytest

from tests.support.mutants import MUTANTS, Mutant, run_mutant

#: Seeds within which a broken house has to be found out.
ENOUGH = 60

each_mutant = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what.replace(" ", "-"))


@each_mutant
def test_a_broken_house_is_found_out(mutant: Mutant) -> None:
    failure = run_mutant(mutant, mutant.seed)
    assert failure is not None, f"{mutant.what}: seed {mutant.seed} finds nothing"
    assert failure.rule == mutant.rule, failure.message
    assert mutant.words in failure.message


@pytest.mark.long
@each_mutant
def test_it_takes_few_seeds(mutant: Mutant) -> None:
    assert any(run_mutant(mutant, seed) for seed in range(ENOUGH)), mutant.what


def test_no_two_are_the_same() -> None:
    assert len({mutant.what for mutant in MUTANTS}) == len(MUTANTS) >= 10
