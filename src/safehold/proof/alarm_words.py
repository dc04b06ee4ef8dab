"""An alarm as a message: JSON for webhooks and commands, and a letter for somebody who is woken at night.

docs/alarms.md has the shape of the JSON. Nothing in it names an item or its content.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from safehold.proof.alarms import CLEARED, RAISED, REPEATED, Alarm, Told
from safehold.proof.limits import lasting

VERSION = 1
TEST = "test"
_MICROSECONDS = 1_000_000


class Sender(msgspec.Struct, frozen=True):
    """Who says it."""

    installation: str  # id, hex
    name: str  # the public URL, or where it runs
    role: str = "service"  # or "keeper"


def message_of(told: Told, sender: Sender, now: int, still_open: int) -> dict[str, Any]:
    """`now` in µs; `still_open` alarms stand beside it."""
    alarm = told.alarm
    return {
        "version": VERSION,
        "id": f"{alarm.raised}-{alarm.name}-{told.sort}-{alarm.times}",
        "event": told.sort,
        "at": stamp(now),
        "from": {"installation": sender.installation, "name": sender.name, "role": sender.role},
        "alarm": alarm.name,
        "what": alarm.what,
        "key": alarm.key,
        "message": alarm.message,
        "hint": alarm.hint,
        "runbook": alarm.runbook,
        "runbook_command": f"safehold runbook show {alarm.runbook}",
        "raised": stamp(alarm.raised),
        "lasted_seconds": round(_lasted(told), 1),
        "times": alarm.times,
        "open": still_open,
    }


def trial_message(sender: Sender, now: int, channel: str) -> dict[str, Any]:
    """A message that is marked as a test, in the shape of the others."""
    alarm = Alarm(
        what="alarm test",
        key="",
        message=f"This is a test of {channel}. Nothing is wrong.",
        hint="Nothing has to be done. Whoever reads this can be reached.",
        runbook="alarm-channel",
        raised=now,
        last_seen=now,
        times=1,
    )
    return {**message_of(Told(TEST, alarm), sender, now, 0), "event": TEST}


def letter_of(message: Mapping[str, Any]) -> tuple[str, str]:
    """Subject and text, from the JSON."""
    event, name = message["event"], message["alarm"]
    where = message["from"]["name"] or message["from"]["installation"][:8]
    mark = {RAISED: "", REPEATED: "still: ", CLEARED: "over: ", TEST: "TEST: "}.get(event, "")
    parts = [message["message"]]
    if event == CLEARED:
        parts.append(f"This is over. It lasted {lasting(message['lasted_seconds'])}.")
    else:
        if message["hint"]:
            parts.append(f"First: {message['hint']}")
        parts.append(f"Step by step: {message['runbook_command']}")
    if event in (RAISED, REPEATED):
        parts.append(f"Since {message['raised']}. Told {message['times']} times. Open alarms: {message['open']}.")
        parts.append(f"If somebody has it: safehold alarm ack '{name}'   (it is not repeated then)")
    parts.append(f"From the {message['from']['role']} of {where}, {message['at']}.")
    return f"Safehold: {mark}{name}", "\n\n".join(parts) + "\n"


def stamp(at: int) -> str:
    """RFC 3339, in whole seconds."""
    return datetime.fromtimestamp(at // _MICROSECONDS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _lasted(told: Told) -> float:
    alarm = told.alarm
    until = alarm.cleared_seconds if told.sort == CLEARED else alarm.seen_seconds
    return max(0.0, until - alarm.raised_seconds)
