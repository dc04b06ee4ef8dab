"""Parts of the commands that need no installation: passwords, welcome, what is unmet, reports in words, progress."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from safehold.cli.account import MAX_PASSWORD_BYTES, read_password
from safehold.cli.exits import UsageError
from safehold.cli.output import Table, count_text, size_text
from safehold.cli.progress import Reporter
from safehold.cli.recover import describe_report
from safehold.cli.status import find_unmet
from safehold.cli.welcome import welcome
from safehold.model.kinds import RESTORE_ORDER, Kind
from safehold.recovery.report import KindCount, Loss, Report, Stage


def password_of(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
    return read_password(from_stdin=True)


@pytest.mark.parametrize(
    ("raw", "password"),
    [
        (b"secret", "secret"),
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b"secret\n\n", "secret\n"),
        (b" secret \t\n", " secret \t"),
        (b"secret\r", "secret\r"),
        ("schlüssel\n".encode(), "schlüssel"),
        (b"x" * MAX_PASSWORD_BYTES + b"\r\n", "x" * MAX_PASSWORD_BYTES),
    ],
)
def test_only_the_final_newline_is_not_part_of_a_password(
    raw: bytes, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert password_of(raw, monkeypatch) == password


@pytest.mark.parametrize("raw", [b"", b"\n", b"\r\n", b"x" * (MAX_PASSWORD_BYTES + 1), b"\xff\xfe\n", b"x" * 5000])
def test_no_password_at_all_is_wrong_usage(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError):
        password_of(raw, monkeypatch)


def test_without_a_terminal_a_password_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"secret\n")))
    with pytest.raises(UsageError, match="no terminal") as caught:
        read_password(from_stdin=False)
    assert "--password-stdin" in caught.value.hint


@pytest.mark.parametrize("accounts", [[], ["ada"], [f"person-{n}" for n in range(40)]])
def test_the_welcome_is_one_screen(accounts: list[str]) -> None:
    text = welcome("http://127.0.0.1:8460", Path("/home/ada/safehold-data"), accounts)
    lines = text.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert "http://127.0.0.1:8460/" in text
    assert "account add" in text
    assert "app-password" in text
    assert "DAVx5" in text
    assert "http://127.0.0.1:8460/devices" in text


def test_the_welcome_tells_where_others_reach_it() -> None:
    text = welcome("http://127.0.0.1:8460", Path("/home/ada/safehold-data"), ["ada"], "https://dav.example.org")
    assert len(text.splitlines()) <= 24
    assert "https://dav.example.org/devices" in text
    assert "http://127.0.0.1:8460/devices" not in text
    assert "serves at http://127.0.0.1:8460/" in text


def test_the_welcome_names_the_data_folder_where_it_is_not_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/tmp")
    assert "each with --data /srv/data" in welcome("http://h", Path("/srv/data"), [])
    assert "--data" not in welcome("http://h", Path("/tmp/safehold-data"), [])


def test_unmet_are_incidents_open_recoveries_and_objectives_in_danger() -> None:
    calm = {
        "incidents": [],
        "recovery": None,
        "objectives": {"rpo": {"state": "met"}, "rto": {"state": "not set"}, "first_contact": {"state": None}},
    }
    assert find_unmet(calm) == []
    assert find_unmet({}) == []
    assert find_unmet(calm | {"incidents": [{"message": "the vault far is away"}]}) == [
        "incident: the vault far is away"
    ]
    assert find_unmet(calm | {"recovery": {"stage": "contacts"}}) == ["a recovery is open"]
    assert find_unmet(calm | {"objectives": {"rpo": {"state": "violated"}, "rto": {"state": "at risk"}}}) == [
        "objective rpo: violated",
        "objective rto: at risk",
    ]


def report(lost: list[Loss], count: KindCount) -> Report:
    return Report(
        accounts=1,
        streams=2,
        changes_expected=10,
        changes_recovered=9,
        items={kind: count if kind is Kind.CONTACTS else KindCount() for kind in RESTORE_ORDER},
        lost=lost,
        unknown_seconds=12.0,
        stages=[Stage(Kind.CONTACTS, 1, 0.5)],
        first_contact_seconds=0.5,
        seconds=1.5,
        verified=True,
        timeline=3,
    )


def test_a_report_names_each_loss() -> None:
    told = describe_report(
        report(
            [
                Loss("ada", Kind.CONTACTS, "contacts/default", "grace.vcf", [7]),
                Loss("ada", Kind.NOTES, None, None, [3, 4, 5]),
            ],
            KindCount(4, 2, 1, 1),
        ),
        planned=False,
    )
    tables = [block for block in told if isinstance(block, Table)]
    assert ("contacts", 4, 2, 1, 1) in tables[0].rows
    text = "\n".join(block for block in told if isinstance(block, str))
    assert "lost: ada contacts contacts/default/grace.vcf (rev 7)" in text
    assert "lost: ada notes items that nobody can name (revs 3 to 5)" in text
    assert "9 changes of 10; took 1.5 s" in text
    assert "12 s" in text


def test_progress_without_a_terminal_is_a_line_a_stage(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter() as progress:
        for done in range(100):
            progress("read", done, 100, "bytes")
        progress("enter", 0, 0, "changes")
    captured = capsys.readouterr()
    assert captured.err == "read …\nenter …\n"
    assert captured.out == ""


def test_figures_for_people() -> None:
    assert [size_text(n) for n in (0, 1023, 1024, 1536 * 1024)] == ["0 B", "1023 B", "1.0 KiB", "1.5 MiB"]
    assert [count_text(n, "item") for n in (0, 1, 2)] == ["0 items", "1 item", "2 items"]
