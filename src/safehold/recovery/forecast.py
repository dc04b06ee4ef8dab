"""How long a run will take, from how long planning took.

A run reads the log as the plan did, enters each change, verifies the result and fetches the blobs of live items. The
plan measures the reading; what it does not do itself is reckoned at figures that are named in the basis.
"""

from __future__ import annotations

import msgspec

from safehold.model.counting import count_text
from safehold.model.kinds import RESTORE_ORDER, Kind

#: Entering and verifying one change, in seconds; measured, see docs/decisions/0009-recovery-in-one-pass.md.
ENTER_SECONDS = 45e-6
VERIFY_SECONDS = 45e-6
#: Reading, verifying and entering a change of a generation, where nobody has measured; see decision 0041.
GLANCED_SECONDS = 30e-6
#: Fetching, decrypting, writing and reading back blobs.
BLOB_BYTES_PER_SECOND = 100e6
BLOB_SECONDS = 2e-3


class Pace(msgspec.Struct):
    """What a plan measured, by kind."""

    seconds: dict[Kind, float]
    changes: dict[Kind, int]
    blobs: dict[Kind, int]
    blob_bytes: dict[Kind, int]


def new_pace() -> Pace:
    return Pace(
        dict.fromkeys(RESTORE_ORDER, 0.0),
        dict.fromkeys(RESTORE_ORDER, 0),
        dict.fromkeys(RESTORE_ORDER, 0),
        dict.fromkeys(RESTORE_ORDER, 0),
    )


def forecast(pace: Pace) -> dict[Kind, float]:
    """Seconds by kind."""
    return {
        kind: pace.seconds[kind]
        + pace.changes[kind] * (ENTER_SECONDS + VERIFY_SECONDS)
        + pace.blobs[kind] * BLOB_SECONDS
        + pace.blob_bytes[kind] / BLOB_BYTES_PER_SECOND
        for kind in RESTORE_ORDER
    }


def glanced(changes: dict[Kind, int]) -> dict[Kind, float]:
    """Seconds by kind where nothing has been measured."""
    return {kind: changes[kind] * GLANCED_SECONDS for kind in RESTORE_ORDER}


def glanced_basis() -> str:
    return (
        f"nothing was measured: reading, verifying and entering a change is reckoned at {GLANCED_SECONDS * 1e6:.0f} µs"
    )


def basis(pace: Pace) -> str:
    """Where the forecast comes from, in one sentence."""
    changes, seconds = sum(pace.changes.values()), sum(pace.seconds.values())
    text = (
        f"{count_text(changes, 'change was', 'changes were')} read and verified in {seconds:.2f} s while planning; "
        "entering and verifying one"
        f" is reckoned at {(ENTER_SECONDS + VERIFY_SECONDS) * 1e6:.0f} µs"
    )
    blobs = sum(pace.blobs.values())
    if blobs:
        total = sum(pace.blob_bytes.values())
        text += f", {blobs} large bodies, {total / 1e6:.1f} MB in all, at {BLOB_BYTES_PER_SECOND / 1e6:.0f} MB/s"
    return text
