"""What is wrong now, and whether whoever should know can be reached. Where alarms go stands in [alarms]."""

from __future__ import annotations

import getpass
import uuid
from argparse import Namespace
from contextlib import suppress
from typing import Any

from safehold.cli.context import Context
from safehold.cli.exits import Exit
from safehold.cli.output import Answer, Table, time_text
from safehold.cli.parser import Parser

EXAMPLE = "safehold alarm test"


def configure(parser: Parser) -> None:
    parser.command(
        "list",
        "list the alarms that stand, and how the channels do",
        "safehold alarm list --json",
        _list,
        "Lists the alarms that stand, each with its runbook, and whether the channels get through. In a keeper's "
        "folder: its own.",
    )
    parser.command(
        "test",
        "send a test through every channel",
        EXAMPLE,
        _test,
        "Sends a message that is marked as a test through every channel of [alarms], and keeps how it went as "
        "evidence. A running service does this by itself as often as `alarms.test_days` says. Ask whoever should have "
        "got it.",
    )
    ack = parser.command(
        "ack",
        "say that somebody has it, so that it is not repeated",
        "safehold alarm ack 'vault missing/far'",
        _ack,
        "An alarm that was acknowledged is not repeated; that it is over is still told. A running service takes it up "
        "at its next look, within half a minute.",
    )
    ack.add_argument("name", metavar="NAME", help="as `alarm list` names it; without what follows the /: all of these")
    ack.add_argument("--by", metavar="WHO", help="who has it (default: the user)")


def _list(_: Namespace, context: Context) -> Answer:
    from safehold.assembly.alarming import acks, kept_facts
    from safehold.assembly.keeper import open_site
    from safehold.service.control import STATUS, decode_json

    site = open_site(context.data, context.config_path)
    running = site.ask_service(STATUS)
    folder = str(site.data / "run")
    facts: dict[str, Any] = decode_json(running)["alarms"] if running is not None else kept_facts(site.disk, folder)
    waiting = {ack.name for _, ack in acks(site.disk, folder)}
    rows = []
    blocks: list[str | Table] = []
    for alarm in facts["open"]:
        acked = bool(alarm["acked"]) or bool({alarm["name"], alarm["what"]} & waiting)
        rows.append((alarm["name"], time_text(alarm["raised"])[:16], "yes" if acked else "-", alarm["runbook"]))
        blocks.append(f"{alarm['name']}: {alarm['message']}")
        if alarm["hint"]:
            blocks.append(f"  {alarm['hint']}")
    if rows:
        blocks.insert(0, Table(("alarm", "since", "acknowledged", "runbook"), rows))
        blocks.append("what to do, step by step: safehold runbook show RUNBOOK")
    else:
        blocks.append("no alarm stands" if running is not None else "no alarm stood when it was last looked")
    blocks += _channel_blocks(facts, configured=site.config.alarms.any)
    return Answer(facts, blocks)


def _channel_blocks(facts: dict[str, Any], *, configured: bool) -> list[str | Table]:
    blocks: list[str | Table] = []
    channels = [
        (one["channel"], one["waiting"], time_text(one["last_ok"])[:16] if one["last_ok"] else "-", one["why"] or "-")
        for one in facts["channels"]
    ]
    if channels:
        blocks.append(Table(("channel", "waiting", "last taken", "trouble"), channels))
    if not configured:
        blocks.append("nobody is told: [alarms] in safehold.toml names no webhook, mail or command")
    tested = facts["last_test"]
    if tested is not None:
        blocks.append(f"last test {time_text(tested['at'])[:16]}: {'all got through' if tested['ok'] else 'failed'}")
    elif configured:
        blocks.append("the channels have not been tested: safehold alarm test")
    return blocks


def _test(_: Namespace, context: Context) -> Answer:
    from safehold.assembly.alarm_test import run_alarm_test
    from safehold.assembly.jobs import ALARM_TEST, job_run
    from safehold.assembly.keeper import open_site

    site = open_site(context.data, context.config_path)
    with job_run(site, ALARM_TEST) as job:
        tested = run_alarm_test(site, _user())
        failed = [one["channel"] for one in tested.channels if not one["ok"]]
        if failed:
            job.found(f"it did not get through to {', '.join(failed)}")
    data = {"ok": tested.ok, "at": tested.at, "channels": tested.channels, "evidence": tested.evidence or None}
    if not tested.channels:
        return Answer(data, ["there is nothing to test: [alarms] in safehold.toml names no channel"])
    rows = [(one["channel"], "got through" if one["ok"] else one["why"]) for one in tested.channels]
    blocks: list[str | Table] = [Table(("channel", "test"), rows)]
    blocks.append("ask whoever should have got it; what does not get through: safehold runbook show alarm-channel")
    return Answer(data, blocks, exit=Exit.DONE if tested.ok else Exit.FOUND)


def _ack(args: Namespace, context: Context) -> Answer:
    from safehold.assembly.alarming import Ack, kept_facts, note_ack
    from safehold.assembly.keeper import open_site
    from safehold.model.errors import NotFound
    from safehold.service.control import STATUS, decode_json

    site = open_site(context.data, context.config_path)
    folder = str(site.data / "run")
    running = site.ask_service(STATUS)
    facts = decode_json(running)["alarms"] if running is not None else kept_facts(site.disk, folder)
    meant = [alarm["name"] for alarm in facts["open"] if args.name in (alarm["name"], alarm["what"])]
    if not meant:
        raise NotFound(f"no alarm {args.name!r} stands", hint="`safehold alarm list` names those that do")
    by = args.by or _user()
    note_ack(site.disk, folder, Ack(args.name, by), uuid.uuid4().hex)
    return Answer({"acknowledged": meant, "by": by}, [f"{name}: not repeated any more" for name in meant])


def _user() -> str:
    with suppress(OSError, KeyError):
        return getpass.getuser()
    return ""
