"""The signed records of what was scrubbed, repaired, attested, drilled, recovered and tested: list, show and verify."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from safehold.cli.context import Context
from safehold.cli.exits import Exit, UsageError
from safehold.cli.output import Answer, Table, count_text, time_text
from safehold.cli.parser import Parser
from safehold.cli.times import parse_day, parse_day_end

if TYPE_CHECKING:
    from safehold.recovery.evidence_check import Checked, Flaw
    from safehold.vault.evidence import Found

EXAMPLE = "safehold evidence list --kind drill --from 2026-10-01"
_PREFIX, _SUFFIX = "evidence/", ".ev"


def configure(parser: Parser) -> None:
    listed = parser.command("list", "list the records that hold", EXAMPLE, _list)
    listed.add_argument("--kind", metavar="KIND", help="only of this kind, such as drill, scrub, repair or alarm")
    _add_days(listed)
    show = parser.command(
        "show",
        "show one record with all its facts",
        "safehold evidence show evidence/1764194912000000-0a1b2c3d.ev",
        _show,
    )
    show.add_argument("name", metavar="NAME", help="as `evidence list` has it")
    verify = parser.command(
        "verify",
        "prove every record, and name those that do not hold or are gone",
        "safehold evidence verify",
        _verify,
        "Reads every record in every vault and checks its signature, its signer's certificate, its name and its place "
        "in its signer's chain. Exits with 1 where a record was tampered with, is another installation's, lies under "
        "another one's name, or is gone, unless a keeper's scrub has told of it before.",
    )
    _add_days(verify)


def _add_days(parser: Parser) -> None:
    parser.add_argument("--from", dest="begin", metavar="DATE", help="from this day on (UTC), such as 2026-10-01")
    parser.add_argument("--to", dest="end", metavar="DATE", help="up to this day, which is included")


def _checked(context: Context) -> Checked:
    from safehold.assembly.evidence import check_site_evidence
    from safehold.assembly.keeper import open_vaults

    return check_site_evidence(open_vaults(context.data, context.config, context.config_path))


def _list(args: Namespace, context: Context) -> Answer:
    begin, end = _days(args)
    checked = _checked(context)
    chosen = [one for one in _within(checked, begin, end) if args.kind is None or one.evidence.kind == args.kind]
    rows = [
        (time_text(o.evidence.at), o.evidence.kind, o.evidence.vault or "-", o.role.name.lower(), o.name)
        for o in chosen
    ]
    blocks: list[str | Table] = [
        Table(("at", "kind", "vault", "signed by", "name"), rows) if rows else "there is no such record"
    ]
    blocks += told(checked)
    data = {
        "records": [describe(one, checked.copies[one.name]) for one in chosen],
        "refused": flaws_data(checked.flaws),
    }
    return Answer(data, blocks)


def _show(args: Namespace, context: Context) -> Answer:
    name = args.name if args.name.startswith(_PREFIX) else _PREFIX + args.name
    name = name if name.endswith(_SUFFIX) else name + _SUFFIX
    checked = _checked(context)
    one = next((each for each in checked.found if each.name == name), None)
    flaws = [flaw for flaw in checked.flaws if flaw.object == name]
    if one is None and not flaws:
        raise UsageError(f"there is no record {args.name}", hint="`safehold evidence list` names them")
    blocks: list[str | Table] = []
    data: dict[str, Any] = {"refused": flaws_data(flaws)}
    if one is not None:
        data = {**describe(one, checked.copies[name]), "facts": one.evidence.facts, **data}
        blocks += [f"{key}: {value}" for key, value in data.items() if key not in ("facts", "refused")]
        blocks.append(json.dumps(one.evidence.facts, indent=2, ensure_ascii=False))
    blocks += [_flaw_text(flaw) for flaw in flaws]
    return Answer(data, blocks, Exit.FOUND if flaws else Exit.DONE)


def _days(args: Namespace) -> tuple[int, int | None]:
    """Raises UsageError."""
    return parse_day(args.begin) if args.begin else 0, parse_day_end(args.end) if args.end else None


def _within(checked: Checked, begin: int, end: int | None) -> list[Found]:
    return [one for one in checked.found if begin <= one.evidence.at and (end is None or one.evidence.at < end)]


def _verify(args: Namespace, context: Context) -> Answer:
    """All are proved, whatever the period: chains go through all of them. It says which the digest is of."""
    from safehold.recovery.evidence_check import records_digest

    begin, end = _days(args)
    checked = _checked(context)
    chosen = _within(checked, begin, end)
    digest = records_digest(chosen).hex()
    data = {
        "ok": checked.ok,
        "records": len(chosen),
        "digest": digest,
        "refused": flaws_data(checked.flaws),
        "unsettled": flaws_data(checked.unsettled),
        "away": checked.away,
        "branches": checked.branches,
    }
    told_of = told(checked)
    if checked.ok:
        told_of.append(f"{count_text(len(chosen), 'record')} of the period hold; their digest: {digest}")
    return Answer(data, told_of, exit_of(checked))


def exit_of(checked: Checked) -> Exit:
    """1 where a record does not hold or is gone and no keeper has told so; 3 where a vault could not be looked at."""
    return Exit.FOUND if checked.news else Exit.UNFINISHED if checked.away else Exit.DONE


def told(checked: Checked) -> list[str | Table]:
    """What does not hold, in sentences."""
    blocks: list[str | Table] = [_flaw_text(flaw) for flaw in checked.flaws]
    blocks += [f"{_flaw_text(flaw)}; it may be in {' or '.join(checked.away)}" for flaw in checked.unsettled]
    blocks += [f"the vault {name} could not be read" for name in checked.away]
    return blocks


def describe(one: Found, vaults: list[str]) -> dict[str, Any]:
    evidence = one.evidence
    return {
        "name": one.name,
        "kind": evidence.kind,
        "at": time_text(evidence.at),
        "vault": evidence.vault or None,
        "signed_by": one.role.name.lower(),
        "signer": one.signer.hex(),
        "before": evidence.before.hex() or None,
        "sha256": one.digest.hex(),
        "bytes": one.size,
        "vaults": vaults,
    }


def flaws_data(flaws: list[Flaw]) -> list[dict[str, Any]]:
    return [
        {"object": f.object, "vault": f.vault or None, "problem": str(f.problem), "why": f.why, "told": f.told or None}
        for f in flaws
    ]


def _flaw_text(flaw: Flaw) -> str:
    place = f" in {flaw.vault}" if flaw.vault else ""
    before = f" (on record: {flaw.told})" if flaw.told else ""
    return f"{flaw.object}{place}: {flaw.problem}: {flaw.why}{before}"
