"""The care of the core, where a recovery fills it meanwhile (I61)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from safehold.assembly import caring
from safehold.assembly.caring import Caring
from safehold.model.errors import BodiesDamaged, LostBody


def test_what_stops_the_writer_is_brought_while_a_recovery_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caring, "FIRST_SECONDS", 0.0)
    care, asked, checked = object.__new__(Caring), list[Sequence[LostBody]](), list[bool]()
    care._wake, care._stop = threading.Event(), threading.Event()
    lost = (LostBody(7, b""),)

    def bring(bodies: Sequence[LostBody]) -> None:
        asked.append(bodies)
        care._stop.set()
        care._wake.set()

    def step() -> float:
        checked.append(True)
        return 1.0

    care.__dict__.update(
        _writer=SimpleNamespace(engine=SimpleNamespace(stopped=BodiesDamaged(lost))),
        repair=SimpleNamespace(bring=bring),
        care=SimpleNamespace(step=step),
        resting=lambda: True,
    )
    thread = threading.Thread(target=care._run, daemon=True)
    thread.start()
    thread.join(5)
    care._stop.set()
    care._wake.set()
    assert asked == [lost]
    assert not checked
