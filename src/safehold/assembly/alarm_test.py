"""A test of the channels of alarms: a message marked as one through each, and what came of it kept as evidence.

An alarm that nobody receives is found out on a quiet day. The messages go straight to the channels, past the queues of
a service that may be running; whether a person has read them only a person can say.
"""

from __future__ import annotations

from typing import Any

from safehold.assembly.alarm_box import HEARTBEAT
from safehold.assembly.alarming import Tested, fetch, make_channels, note_test, sender_of
from safehold.assembly.scrubbing import core_position, evidence_sealer
from safehold.assembly.site import Site
from safehold.formats import evidence as formats
from safehold.formats.evidence import Evidence
from safehold.model.errors import OperatorError, OutOfSpace, SafeholdError
from safehold.ports.alarms import AlarmFailed
from safehold.ports.core import EMPTY_LOG
from safehold.proof.alarm_words import trial_message
from safehold.vault.evidence import put_evidence

#: The `kind` of its evidence.
ALARM = "alarm"


def run_alarm_test(site: Site, by: str) -> Tested:
    """Test every channel, one after the other. `by`: who or what asks. Raises OperatorError where there are no keys."""
    sender, channels = sender_of(site), make_channels(site)
    found: list[dict[str, Any]] = []
    at = site.clock.now()
    for channel in channels:
        began, why = site.clock.monotonic(), ""
        try:
            channel.send(trial_message(sender, site.clock.now(), channel.name))
        except AlarmFailed as error:
            why = error.message
        found.append(_outcome(channel.name, why, site.clock.monotonic() - began))
    if site.config.alarms.heartbeat:
        began, why = site.clock.monotonic(), ""
        try:
            fetch(site.config.alarms.heartbeat)
        except AlarmFailed as error:
            why = error.message
        found.append(_outcome(HEARTBEAT, why, site.clock.monotonic() - began))
    tested = Tested(at, all(one["ok"] for one in found), found)
    if found:
        tested.evidence = _record(site, tested, by)
        try:
            note_test(site.disk, str(site.data / "run"), tested)
        except OSError as error:
            raise OperatorError(f"the test cannot be noted in run/: {error.strerror or error}") from error
    return tested


def _outcome(name: str, why: str, seconds: float) -> dict[str, Any]:
    return {"channel": name, "ok": not why, "why": why, "seconds": round(seconds, 3)}


def _record(site: Site, tested: Tested, by: str) -> str:
    """The name of its evidence; "" where no vault took it."""
    sealer = evidence_sealer(site)
    if sealer is None:
        return ""
    try:
        upto = core_position(site)
    except SafeholdError:
        upto = EMPTY_LOG
    value = Evidence(formats.VERSION, ALARM, 0, "", upto, b"", {"channels": tested.channels, "by": by})
    vaults = [site.vault(config) for config in site.config.vaults]
    try:
        return put_evidence(vaults, sealer, site.clock, value).name
    except (OperatorError, OutOfSpace):
        return ""
    finally:
        for vault in vaults:
            vault.close()
