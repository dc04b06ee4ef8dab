"""Objectives, the cadence that they ask for, and when jobs are due or missed: pure rules."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.config import DEFAULT_TEXT, Config, ConfigError, parse
from safehold.model.kinds import Kind
from safehold.proof.cadence import Measured, begin_every, cadence
from safehold.proof.durations import DAY, HOUR, duration_words, parse_duration
from safehold.proof.forecast import Forecast
from safehold.proof.objectives import (
    AT_RISK,
    MET,
    NOT_SET,
    UNKNOWN,
    VIOLATED,
    Aged,
    Objectives,
    VaultLag,
    judge_age,
    judge_rpo,
    judge_time,
    objective_incidents,
)
from safehold.proof.schedule import (
    BACKOFF_SECONDS,
    LastRun,
    is_due,
    jitter_seconds,
    missed_incident,
    missed_since,
    pause_seconds,
)

SECOND = 1_000_000
NOW = 1_800_000_000 * SECOND


def test_the_template_states_the_defaults() -> None:
    assert parse(DEFAULT_TEXT) == parse("") == Config()
    assert Config().objectives == Objectives(60.0, 4 * HOUR, 60.0, 7 * DAY, 7 * DAY, 7 * DAY)


def test_objectives_may_be_left_out_and_differ_by_kind() -> None:
    found = parse('[objectives]\nrpo = "1s"\nrto = ""\n[objectives.photos]\nrto = "2d"\n').objectives
    assert found.rpo == 1.0 and found.rto is None
    assert found.of_kind(Kind.PHOTOS).rto == 2 * DAY and found.of_kind(Kind.PHOTOS).rpo == 1.0
    assert found.of_kind(Kind.NOTES).rto is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[objectives]\nrpo = "soon"', "line 2: objectives.rpo: 'soon'"),
        ("[objectives]\nrpo = 5", "objectives.rpo: needs a text"),
        ('[objectives]\nrpo = "0s"', "objectives.rpo"),
        ('[objectives.photos]\nscrub = "7d"', "objectives.photos.scrub: not a key"),
        ('[objectives.dreams]\nrto = "7d"', "objectives.dreams: not a key"),
        ("[objectives]\nphotos = 3", "write [objectives.photos]"),
    ],
)
def test_what_cannot_be_an_objective_is_refused_by_name(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(text)
    assert told in refused.value.message


def test_durations_are_read_and_said() -> None:
    assert [parse_duration(t) for t in ("30s", "15m", "4 h", "7d", "1.5h", "2w")] == [
        30,
        900,
        14_400,
        604_800,
        5_400,
        1_209_600,
    ]
    said = [duration_words(s) for s in (0.4, 1, 90, 5_400, 9 * HOUR, 41 * DAY)]
    assert said == ["0.4 seconds", "1 second", "90 seconds", "90 minutes", "9 hours", "41 days"]


# -- loss ------------------------------------------------------------------------------------------------------

NEAR = VaultLag("near", True, False, 0.0)
FAR = VaultLag("far", False, True, 0.0, 5.0)


def test_a_sync_vault_outside_loses_nothing() -> None:
    found = judge_rpo(1.0, [NEAR._replace(outside=True), FAR])
    assert (found.state, found.actual_seconds) == (MET, 0.0)


def test_else_what_the_nearest_vault_outside_is_behind_would_be_lost() -> None:
    found = judge_rpo(1.0, [NEAR, FAR, VaultLag("farther", False, True, 60.0)])
    assert (found.state, found.actual_seconds, found.nearest_seconds) == (VIOLATED, 5.0, 5.0)
    assert "far," in found.why and "mode sync" in found.why
    assert judge_rpo(60.0, [NEAR, FAR]).state == MET
    assert judge_rpo(5.5, [NEAR, FAR]).state == AT_RISK


def test_nothing_is_called_met_that_is_not_known() -> None:
    alone = judge_rpo(60.0, [NEAR, FAR._replace(outside=False)])
    assert alone.state == UNKNOWN and alone.actual_seconds is None and "takes everything" in alone.why
    assert judge_rpo(60.0, [NEAR, FAR._replace(outside=None)]).state == UNKNOWN
    assert judge_rpo(60.0, [NEAR, FAR._replace(lag_seconds=None)]).state == UNKNOWN
    assert judge_rpo(60.0, [NEAR._replace(outside=True, there=False)]).state == UNKNOWN
    assert judge_rpo(None, [NEAR]).state == NOT_SET


# -- time ------------------------------------------------------------------------------------------------------

FORECAST = Forecast(100.0, 80.0, 130.0, 5, "from 5 drills")


def test_times_are_judged_by_a_forecast_that_drills_stand_behind() -> None:
    assert judge_time(200.0, FORECAST).state == MET
    assert judge_time(120.0, FORECAST).state == AT_RISK
    short = judge_time(90.0, FORECAST)
    assert (short.state, short.actual_seconds, short.nearest_seconds) == (VIOLATED, 100.0, 130.0)
    assert judge_time(None, FORECAST).state == NOT_SET and judge_time(90.0, None).state == UNKNOWN


def test_a_reckoning_alone_may_say_that_it_is_not_met_and_never_that_it_is() -> None:
    reckoned = FORECAST._replace(drills=0)
    assert judge_time(1000.0, reckoned).state == UNKNOWN
    assert judge_time(90.0, reckoned).state == VIOLATED


def test_growth_that_breaks_an_objective_is_told_in_days() -> None:
    soon, later = (judge_time(200.0, FORECAST._replace(violated_in_days=days)) for days in (41.3, 400.0))
    assert soon.state == AT_RISK and "about 41 days" in soon.why
    assert later.state == MET and "about 400 days" in later.why


# -- evidence --------------------------------------------------------------------------------------------------


def test_evidence_ages() -> None:
    assert judge_age("scrub", 7 * DAY, Aged(3 * DAY)).state == MET
    assert judge_age("scrub", 7 * DAY, Aged(6.9 * DAY)).state == AT_RISK
    assert judge_age("scrub", 7 * DAY, Aged(8 * DAY, what="far")).state == VIOLATED
    assert judge_age("drill", 7 * DAY, Aged(None, 2 * DAY)).state == UNKNOWN
    never = judge_age("drill", 7 * DAY, Aged(None, 9 * DAY, hindered="the key is not here"))
    assert never.state == VIOLATED and "the key is not here" in never.why
    assert judge_age("drill", None, Aged(None)).state == NOT_SET


def test_what_takes_longer_than_its_evidence_may_be_old_cannot_be_met() -> None:
    found = judge_age("scrub", 8 * HOUR, Aged(1 * HOUR, takes_seconds=9 * HOUR))
    assert found.state == VIOLATED and "takes 9 hours" in found.why
    assert found.nearest_seconds == pytest.approx(9.9 * HOUR)
    told = objective_incidents({"scrub": found, "rpo": judge_rpo(60.0, [NEAR, FAR])})
    assert [(t["what"], t["key"], t["runbook"]) for t in told] == [("objective violated", "scrub", "objective")]
    assert "9.9 hours" in told[0]["message"] and told[0]["hint"] and told[0]["summary"]


@given(st.floats(60, 1e7), st.floats(0, 1e7))
def test_whoever_keeps_the_cadence_meets_the_age_unless_it_cannot_be_met(target: float, takes: float) -> None:
    every = begin_every(target, takes)
    assert every is not None and every >= takes, "none begins before the one before has ended"
    if takes * 1.1 <= target:
        assert every <= target, "from end to end, where each takes as long"


def test_what_cannot_be_met_is_named_with_the_nearest_that_can() -> None:
    wanted = Objectives(rpo=1.0, scrub=8 * HOUR)
    found = cadence(wanted, Measured(scrub=9 * HOUR, lag=5.0))
    assert [(u.objective, u.nearest_seconds) for u in found.unmeetable] == [("scrub", 9.9 * HOUR), ("rpo", 5.0)]
    assert found.seal == 1.0 and cadence(Objectives()).seal == 10.0
    none = cadence(Objectives(scrub=None, replay=None, drill=None))
    assert (none.scrub, none.keep, none.drill, none.rolling) == (None,) * 4
    assert cadence(Objectives()).rolling == DAY


# -- jobs ------------------------------------------------------------------------------------------------------


def run_of(hours_ago: float, **more: int) -> LastRun:
    began = NOW - round(hours_ago * HOUR) * SECOND
    return replace_run(LastRun(began=began, ended=began + SECOND, ok=True, done=began, since=1), **more)


def replace_run(run: LastRun, **more: int) -> LastRun:
    return LastRun(**{**{f: getattr(run, f) for f in run.__struct_fields__}, **more})


def test_a_job_is_due_one_interval_after_the_last_one_began() -> None:
    assert is_due(None, NOW, HOUR)
    assert not is_due(run_of(0.9), NOW, HOUR) and is_due(run_of(1.1), NOW, HOUR)
    assert not is_due(run_of(1.1), NOW, HOUR, jitter=HOUR / 2)
    assert is_due(run_of(-5), NOW, HOUR), "a clock that was set back"


def test_one_that_failed_is_tried_again_ever_less_often() -> None:
    pauses = [pause_seconds(n) for n in range(1, 12)]
    assert pauses[0] == BACKOFF_SECONDS[0] and pauses[-1] == BACKOFF_SECONDS[1] and pauses == sorted(pauses)
    failed = replace_run(run_of(1 / 60), done=0, failures=1)
    assert not is_due(failed, NOW, HOUR)
    assert is_due(replace_run(failed, began=failed.began - 300 * SECOND), NOW, HOUR)


def test_jitter_is_small_and_differs_by_installation() -> None:
    drawn = {jitter_seconds("scrub", bytes([n]), DAY) for n in range(50)}
    assert len(drawn) == 50 and max(drawn) <= 0.05 * DAY
    assert jitter_seconds("scrub", b"x", DAY) == jitter_seconds("scrub", b"x", DAY)


def test_a_run_that_did_not_happen_is_missed_also_after_the_machine_was_off() -> None:
    day = 24.0
    assert missed_since(run_of(day + 11), NOW, DAY) is None
    due = missed_since(run_of(day + 13), NOW, DAY)
    assert due == NOW - 13 * 3600 * SECOND
    told = missed_incident("scrub", run_of(day + 13), NOW, DAY, "scrub")
    assert told is not None and told["runbook"] == "missed-job" and "13 hours late" in told["message"]
    assert "machine off" in told["message"] and "`safehold scrub`" in told["hint"]
    failing = replace_run(run_of(0.1), done=NOW - 60 * 3600 * SECOND, failures=3)
    assert missed_since(failing, NOW, DAY) is not None, "a run that fails again and again does not count"
    assert missed_since(None, NOW, DAY) is None
    never = LastRun(since=NOW - 40 * 3600 * SECOND)
    assert missed_since(never, NOW, DAY) is not None, "one that never ran is late by when it became known"


def test_config_can_be_given_other_objectives() -> None:
    assert replace(Config(), objectives=Objectives(rpo=None)).objectives.rpo is None
