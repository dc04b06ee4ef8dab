"""The command line: where common options may stand, what goes to which stream, and with which code it ends."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType

import pytest

from safehold.cli import main as front
from safehold.cli.context import Context
from safehold.cli.exits import Exit, exit_for
from safehold.cli.output import Answer, Table
from safehold.cli.parser import Parser, chosen_command
from safehold.model.errors import Conflict, Damaged, Held, NotFound, OperatorError, OutOfSpace

SRC = Path(__file__).resolve().parents[2] / "src"


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(SRC), "PATH": "/usr/bin:/bin"},
    )


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> list[Context]:
    """A command `probe` that answers with what it was given, or raises what the test puts into `error`."""
    module = ModuleType("safehold.cli.probe")
    seen: list[Context] = []

    def run(args: Namespace, context: Context) -> Answer:
        seen.append(context)
        error = getattr(module, "error", None)
        if error is not None:
            raise error
        return Answer({"word": args.word}, [f"word {args.word}", Table(("a", "b"), [("x", 1)])], Exit.FOUND)

    def configure(parser: Parser) -> None:
        leaf = parser.command("say", "say a word", "safehold probe say hello", run)
        leaf.add_argument("word")

    module.__dict__.update(configure=configure, EXAMPLE="safehold probe say hello", seen=seen)
    monkeypatch.setitem(sys.modules, "safehold.cli.probe", module)
    monkeypatch.setitem(front.COMMANDS, "probe", ("probe", "a command for tests"))
    monkeypatch.delenv("SAFEHOLD_DATA", raising=False)
    monkeypatch.delenv("SAFEHOLD_DEBUG", raising=False)
    return seen


@pytest.mark.parametrize("before", [0, 1, 2, 3])
def test_common_options_stand_anywhere(
    probe: list[Context], before: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["probe", "say", "hello"]
    options = ["--data", str(tmp_path), "--config", str(tmp_path / "c.toml"), "--json"]
    assert front.main([*words[:before], *options, *words[before:]]) == Exit.FOUND
    assert probe == [Context(tmp_path, tmp_path / "c.toml", True)]
    assert json.loads(capsys.readouterr().out) == {"word": "hello"}


def test_options_on_both_sides_are_put_together(probe: list[Context], tmp_path: Path) -> None:
    front.main(["--json", "probe", f"--data={tmp_path}", "say", "hello"])
    assert probe == [Context(tmp_path, tmp_path / "safehold.toml", True)]


def test_the_data_folder_has_a_default_and_an_environment_variable(
    probe: list[Context], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    front.main(["probe", "say", "hello"])
    monkeypatch.setenv("SAFEHOLD_DATA", str(tmp_path / "other"))
    front.main(["probe", "say", "hello"])
    front.main(["probe", "say", "hello", "--data", "third"])
    assert [context.data for context in probe] == [tmp_path / n for n in ("safehold-data", "other", "third")]
    assert not list(tmp_path.iterdir())


def test_for_people_it_is_plain_text_in_columns(probe: list[Context], capsys: pytest.CaptureFixture[str]) -> None:
    front.main(["probe", "say", "hello"])
    assert capsys.readouterr().out == "word hello\na  b\nx  1\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound("no such thing", hint="look"), 2),
        (Conflict("taken", hint="look"), 2),
        (OperatorError("decide", hint="look"), 3),
        (OperatorError("decide", hint="look", exit_code=1), 1),
        (Held("not now", hint="look"), 3),
        (OutOfSpace("full", hint="look"), 3),
        (Damaged("bad bytes", hint="look"), 1),
        (OSError(errno.EACCES, "Permission denied", "/data"), 3),
        (RuntimeError("a bug"), 3),
        (KeyboardInterrupt(), 3),
    ],
)
def test_each_error_has_its_code_and_a_sentence(
    probe: list[Context], error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_for(error) == code
    sys.modules["safehold.cli.probe"].__dict__["error"] = error
    assert front.main(["probe", "say", "hello"]) == code
    plain = capsys.readouterr()
    assert plain.out == ""
    assert plain.err.startswith("safehold: ")
    assert "Traceback" not in plain.err
    assert front.main(["--json", "probe", "say", "hello"]) == code
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"error", "hint"}
    assert told["error"] in plain.err


def test_a_traceback_is_shown_on_wish(
    probe: list[Context], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAFEHOLD_DEBUG", "1")
    sys.modules["safehold.cli.probe"].__dict__["error"] = RuntimeError("a bug")
    front.main(["probe", "say", "hello"])
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [[], ["nothing"], ["probe"], ["probe", "say"], ["probe", "say", "a", "b"], ["--dat", "x", "probe"], ["--data"]],
)
def test_wrong_usage_is_told_as_an_object_too(
    probe: list[Context], line: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert front.main([*line, "--json"]) == Exit.USAGE
    captured = capsys.readouterr()
    assert set(json.loads(captured.out)) == {"error", "hint"}
    assert "--help" in captured.err
    assert probe == []


def test_the_command_is_found_behind_options_with_values() -> None:
    assert chosen_command(["--data", "status", "--json", "history", "x"]) == "history"
    assert chosen_command(["--data=x", "undo"]) == "undo"
    assert chosen_command(["--data"]) is None


def test_help_ends_with_0_and_has_an_example_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert front.main(["--help"]) == Exit.DONE
    text = capsys.readouterr().out
    assert all(f"    {name}" in text for name in front.COMMANDS)
    for command in front.COMMANDS:
        assert front.main([command, "--help"]) == Exit.DONE
        assert f"example:\n  safehold {command}" in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from safehold.cli.main import main; main(['--help']); "
        "heavy = {'msgspec', 'rich', 'apsw', 'lxml', 'granian', 'asyncio', 'cryptography', 'icalendar', 'logging'}; "
        "sys.exit(repr(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    ended = run_python(code)
    assert ended.returncode == 0, ended.stderr


def test_a_reader_that_goes_away_is_no_error_message() -> None:
    code = (
        "import os, sys; r, w = os.pipe(); os.close(r); os.dup2(w, 1); "
        "from safehold.cli.main import main; code = main(['--help']); os._exit(code)"
    )
    ended = run_python(code)
    assert ended.stderr == ""
    assert ended.returncode == Exit.UNFINISHED


def test_names_from_devices_do_not_command_the_terminal(
    probe: list[Context], capsys: pytest.CaptureFixture[str]
) -> None:
    front.main(["probe", "say", "a\x1b[31mb\u202ec"])
    assert capsys.readouterr().out.startswith("word a\\x1b[31mb\\u202ec\n")
