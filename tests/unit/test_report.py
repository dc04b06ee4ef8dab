"""A report read back: its figures, in HTML and in PDF, are those of the evidence; what does not hold is named."""

from __future__ import annotations

import io
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import html as lxml_html

from safehold.assembly.evidence import check_site_evidence
from safehold.assembly.reporting import Made, make_report
from safehold.cli.main import main
from safehold.cli.times import parse_day
from safehold.proof.report import words as words_module
from safehold.proof.report.document import cell_text, figure_text, time_text
from safehold.proof.report.figures import day_ticks, span_text, ticks
from safehold.proof.report.gaps import Days, Span, days_without, spans_without
from safehold.proof.report.words import LANGUAGES, Words
from safehold.proof.series import DAY, HOUR
from safehold.recovery.evidence_check import records_digest
from safehold.vault.evidence import Found
from tests.support.audited import BEGIN, DAYS, END, FROM, OTHER_RULE, RULE, SILENT, TO, Audited, StoppedClock, audited
from tests.unit.test_cli_commands import Run, run

__all__ = ["run"]

MADE = END + 5 * HOUR
BY = "Grace Okonjo <auditor> & co"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    data = tmp_path_factory.mktemp("audited") / "data"
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(b"secret\n"))
    try:
        assert main(["--data", str(data), "account", "add", "ada", "--password-stdin"]) == 0
    finally:
        sys.stdin = before
    made = audited(data)
    made.site.clock = StoppedClock(MADE)  # type: ignore[assignment]
    yield made


@pytest.fixture(scope="module")
def made(world: Audited, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_report(world.site, BEGIN, END, lang="en", by=BY, out=tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def page(made: Made) -> Any:
    return lxml_html.fromstring(made.files["html"].read_bytes())


def table(page: Any, key: str) -> list[dict[str, str]]:
    """The rows of a table, by the keys of its columns, as they are shown."""
    found = page.xpath(f'//table[@id="{key}-table"]')
    if not found:
        return []
    keys = found[0].xpath("./thead/tr/th/@data-key")
    return [
        dict(zip(keys, ("".join(td.itertext()) for td in tr.xpath("./td")), strict=True))
        for tr in found[0].xpath("./tbody/tr")
    ]


def numbers(world: Audited, kind: str) -> dict[str, Found]:
    """Records of a kind by their number in the report."""
    every = sorted((one for found in world.put.values() for one in found), key=lambda one: one.name)
    return {f"#{n + 1}": one for n, one in enumerate(every) if one.evidence.kind == kind}


def number(text: str) -> float | None:
    return None if text == "–" else float(text.replace("\u00a0", ""))


def test_the_first_page_says_what_whose_and_how_it_stands(world: Audited, made: Made, page: Any) -> None:
    cover = dict(
        zip(
            page.xpath('//dl[@id="cover-pairs"]/dt/text()'),
            page.xpath('//dl[@id="cover-pairs"]/dd/text()'),
            strict=True,
        )
    )
    every = [one for found in world.put.values() for one in found]
    values = list(cover.values())
    assert values[0].replace(" ", "") == world.site.opener.installation.hex()
    assert values[1:4] == [f"{FROM} – {TO}", time_text(MADE), BY]
    assert values[5:7] == [str(len(every)), records_digest(every).hex()]
    silent = set(range(DAYS)) - {(one.evidence.at - BEGIN) // DAY for one in every}
    assert silent >= set(SILENT)
    verdict = ["".join(li.itertext()) for li in page.xpath('//ul[@class="verdict"]/li')]
    assert verdict == [
        f"All {len(every)} records of the period hold.",
        f"1 of {len(world.put['drill'])} recovery drills found a difference or damage.",
        "Objectives violated: RPO: what may be lost (2 days).",
        f"{len(silent)} of {DAYS} days have no record at all.",
    ]
    assert made.figures.digest == records_digest(every).hex() and made.checked.ok


def test_each_drill_is_there_with_the_figures_of_its_record(world: Audited, page: Any) -> None:
    drills = numbers(world, "drill")
    rows, times = table(page, "drills"), table(page, "drill-times")
    assert [row["record"] for row in rows] == [row["record"] for row in times] == list(drills)
    rules = dict(
        zip(
            page.xpath('//dl[@id="drill-rules-pairs"]/dt/text()'),
            page.xpath('//dl[@id="drill-rules-pairs"]/dd/text()'),
            strict=True,
        )
    )
    assert set(rules.values()) == {RULE, OTHER_RULE}
    for row, timed, one in zip(rows, times, drills.values(), strict=True):
        facts = one.evidence.facts
        assert row["began"] == time_text(facts["at"])
        assert row["vault"] == facts["vault"]
        part, of = facts["share"]
        assert row["scope"] == ("whole" if facts["scope"] == "whole" else f"rolling {part}/{of}")
        assert row["result"] == ("equal" if facts["ok"] else "differs")
        counted = {"roots": "streams_equal", "compared": "streams_compared", "accounts": "accounts", "items": "items"}
        for key, fact in {**counted, "requests": "requests"}.items():
            assert number(row[key]) == facts[fact], (key, row)
        assert rules[row["rule"]] == facts["rule"]
        assert row["approved"] == (facts["approved_by"] or "schedule")
        spans = {"seconds": "seconds", "waited": "waited_seconds", "contact": "first_contact_seconds"}
        for key, fact in {**spans, "forecast": "forecast_rto_seconds"}.items():
            assert number(timed[key]) == pytest.approx(facts[fact], abs=0.00051), (key, timed)
        for stage, seconds in facts["stages"].items():
            assert number(timed[f"stage-{stage}"]) == pytest.approx(seconds, abs=0.00051)
        assert timed["within"] == ("–" if facts["scope"] == "rolling" else "yes")
        off = 100 * (facts["forecast_rto_seconds"] - facts["seconds"]) / facts["seconds"]
        assert number(timed["error"]) == pytest.approx(off, abs=0.06)
    bad = next(name for name, one in drills.items() if not one.evidence.facts["ok"])
    facts = drills[bad].evidence.facts
    assert [(row["record"], row["what"]) for row in table(page, "drill-deviations")] == [
        (bad, facts["deviations"][0]),
        (bad, "runs/0007.run: corrupt: a frame is damaged"),
    ]


def test_scrubs_repairs_and_attestations_say_what_their_records_say(world: Audited, page: Any) -> None:
    for row, (name, one) in zip(table(page, "scrubs"), numbers(world, "scrub").items(), strict=True):
        facts = one.evidence.facts
        assert (row["record"], row["vault"], row["level"]) == (name, one.evidence.vault, facts["level"])
        assert [number(row[key]) for key in ("objects", "bytes", "seconds")] == [
            facts["objects"],
            facts["bytes"],
            pytest.approx(facts["seconds"], abs=0.00051),
        ]
        assert row["result"] == ("nothing wrong" if facts["ok"] else "1 found")
    assert {row["what"] for row in table(page, "scrubs-named")} == {"log/1/7.seg: corrupt: a bit is flipped"}
    repairs = table(page, "repairs")
    assert [row["approved"] for row in repairs] == ["Grace Okonjo"] * 2
    assert {(row["result"], row["repaired"], row["remaining"]) for row in repairs} == {("all repaired", "1", "0")}
    for row, (name, one) in zip(table(page, "attests"), numbers(world, "attest").items(), strict=True):
        facts = one.evidence.facts
        assert (row["record"], number(row["generation"])) == (name, facts["generation"])
        assert (number(row["changes"]), number(row["streams"])) == (facts["changes"], facts["streams"])
        assert row["result"] == ("attested" if facts.get("ok", True) else "not attested")
    assert [row["what"] for row in table(page, "attests-named")] == ["runs/0107.run is missing"]


def test_recoveries_alarms_and_people_are_there(world: Audited, page: Any) -> None:
    (row,) = table(page, "recoveries")
    told = [
        number(row[key]) for key in ("expected", "recovered", "exact", "older", "lost", "unknown", "contact", "seconds")
    ]
    assert told == [12_000, 11_998, 1996, 2, 2, 1.25, 0.75, 9.5]
    assert row["approved"] == "Grace Okonjo"
    (recovery,) = numbers(world, "recovery").values()
    friend, bucket, _ = [row["what"] for row in table(page, "recoveries-named")]
    since = time_text(recovery.evidence.facts["suspect"][0]["at"])
    assert friend.startswith(f"From {since} on, after frame 812, the log of friend is suspect: 3 requests")
    assert bucket.startswith(f"From {since} on the log of bucket is suspect: 3 requests")
    sent = [
        (name, channel) for name, one in numbers(world, "alarm").items() for channel in one.evidence.facts["channels"]
    ]
    for row, (name, channel) in zip(table(page, "alarms"), sent, strict=True):
        assert (row["record"], row["channel"], number(row["seconds"])) == (name, channel["channel"], channel["seconds"])
        assert row["result"] == ("arrived" if channel["ok"] else "did not arrive")
        assert row["why"] == (channel["why"] or "–")
    (row,) = table(page, "runbooks")
    assert (row["name"], row["result"], row["steps"], number(row["seconds"])) == ("recover", "done", "2", 53.5)
    assert [row["answer"] for row in table(page, "runbook-steps")] == ["Grace", "–"]
    (row,) = table(page, "surprises")
    assert (row["what"], row["result"], row["approved"]) == ("vault-away", "put right in time", "Grace Okonjo")
    assert (number(row["seconds"]), number(row["limit"])) == (184.25, 900)
    assert [row["kind"] for row in table(page, "others")] == ["probe"]


def test_every_record_is_listed_with_the_digest_of_its_object(world: Audited, page: Any) -> None:
    from hashlib import sha256

    rows = table(page, "records")
    assert len(rows) == sum(map(len, world.put.values()))
    for row in rows:
        path = world.data / "vaults" / "far" / "evidence" / row["name"]
        assert row["digest"] == sha256(path.read_bytes()).hexdigest()
        assert row["copies"] == "near, far"
    assert {row["signed"] for row in rows} == {"keeper", "writer"}


def test_gaps_are_named_never_hidden(world: Audited, made: Made, page: Any) -> None:
    """I90."""
    rows = table(page, "gaps")
    first, last = time_text(BEGIN + SILENT[0] * DAY)[:10], time_text(BEGIN + SILENT[-1] * DAY)[:10]
    recorded = {(one.evidence.at - BEGIN) // DAY for found in world.put.values() for one in found}
    named: set[int] = set()
    for row in rows:
        if row["sort"] == "Any record":
            begin, end = (parse_day(row[key]) for key in ("from", "until"))
            named.update(range((begin - BEGIN) // DAY, (end - BEGIN) // DAY + 1))
    assert named == set(range(DAYS)) - recorded
    whole = [row for row in rows if row["sort"] == "Recorded state of the service"]
    assert [(row["from"], row["until"], row["days"]) for row in whole] == [(first, last, "14")]
    assert made.figures.days_not_recorded == [f"{first}/{last}"]
    aged = {(row["sort"], row["vault"]) for row in rows if row["most"] != "–"}
    assert ("Recovery drill", "–") in aged and ("Replay and attestation", "far") in aged
    assert ("Scrub", "near") in aged and ("Scrub", "far") in aged
    for row in rows:
        assert row["most"] == "–" or number(row["days"]) > number(row["most"])  # type: ignore[operator]


def test_objectives_and_plots_are_what_was_recorded(world: Audited, page: Any) -> None:
    rows = {row["objective"]: row for row in table(page, "objectives")}
    rpo = rows["RPO: what may be lost"]
    assert [rpo[key] for key in ("target", "met", "violated", "unrecorded")] == ["60", "47", "2", "14"]
    bad = sorted({time_text(sample.at)[:10] for sample in world.samples if sample.lag["far"] > 60})
    assert [row["from"] for row in table(page, "violated")] == bad
    for row in table(page, "lag-figures"):
        begin = next(BEGIN + n * DAY for n in range(DAYS) if time_text(BEGIN + n * DAY).startswith(row["day"]))
        lags = [s.lag["far"] for s in world.samples if begin <= s.at < begin + 2 * DAY]
        assert number(row["far-greatest"]) == (max(lags) if lags else None)
    last = world.samples[-1]
    sizes = {row["kind"]: row for row in table(page, "sizes-figures")}
    assert number(sizes["Photos"]["latest"]) == last.items["photos"]
    assert number(sizes["Photos"]["latest-bytes"]) == last.bytes["photos"]
    forecast = table(page, "forecast-rto-figures")[-1]
    assert [number(forecast[key]) for key in ("forecast", "low", "high")] == [*vars_of(last.forecast["rto"])]
    for figure in page.xpath("//figure"):
        svg = figure.xpath("./svg")[0]
        assert svg.get("role") == "img" and page.get_element_by_id(svg.get("aria-labelledby")).text
        assert page.get_element_by_id(svg.get("aria-describedby")).text
    assert len(page.xpath('//figure[@id="drills-figure"]//circle')) == len(world.put["drill"]) - 1
    assert len(page.xpath('//figure[@id="drills-figure"]//path[contains(@class,"bad")]')) == 1


def vars_of(foreseen: Any) -> tuple[float, float, float]:
    return foreseen.seconds, foreseen.low, foreseen.high


def test_the_page_needs_nothing_and_runs_nothing(made: Made, page: Any) -> None:
    assert not page.xpath("//script | //link | //img | //iframe | //@onload | //@onclick | //*[@src]")
    assert all(target.startswith("#") for target in page.xpath("//@href"))
    assert all(page.get_element_by_id(target[1:]) is not None for target in page.xpath("//@href"))
    assert "url(" not in made.files["html"].read_text() and "@import" not in made.files["html"].read_text()
    assert "<b>swapped</b>" in "".join(page.itertext()), "what a record says is text, never markup"
    assert len(set(page.xpath("//@id"))) == len(page.xpath("//@id"))


def bare(text: str) -> str:
    return re.sub(r"\s", "", text)


def test_the_pdf_has_every_row_of_every_table(made: Made, page: Any) -> None:
    from pypdf import PdfReader

    reader = PdfReader(made.files["pdf"])
    pages = [bare(one.extract_text()) for one in reader.pages]
    text = "".join(pages).replace("\\u4e16", "世")
    rows = page.xpath("//table/tbody/tr")
    assert len(rows) > 250
    for row in rows:
        assert bare("".join("".join(td.itertext()) for td in row)) in text
    for heading in page.xpath("//h2/text() | //figcaption/text() | //ul[@class='verdict']/li/span/text()"):
        assert bare(heading) in text
    assert all(f"Page{n + 1}of{len(pages)}" in one for n, one in enumerate(pages))
    titles = [re.sub(r"^\d+\s+", "", str(one.title)) for one in reader.outline]  # type: ignore[union-attr]
    assert titles == page.xpath("//section/h2/text()")
    for entry, section in zip(reader.outline, page.xpath("//section/h2/text()"), strict=True):
        where = reader.get_destination_page_number(entry)  # type: ignore[arg-type]
        assert where is not None and bare(section) in pages[where]
    assert all("/XObject" not in one["/Resources"] for one in reader.pages), "figures are vectors"  # type: ignore[operator]
    assert bare(BY) in pages[0]


def test_the_same_evidence_gives_the_same_bytes(world: Audited, tmp_path: Path) -> None:
    end = BEGIN + 5 * DAY
    makings = [make_report(world.site, BEGIN, end, lang="es", by=BY, out=tmp_path / str(n)).files for n in range(2)]
    for kind in ("html", "pdf"):
        assert makings[0][kind].read_bytes() == makings[1][kind].read_bytes()
    world.site.clock.at += HOUR  # type: ignore[attr-defined]
    try:
        later = make_report(world.site, BEGIN, end, lang="es", by=BY, out=tmp_path / "2", formats=("html",)).files
    finally:
        world.site.clock.at -= HOUR  # type: ignore[attr-defined]
    one, other = (path.read_text().splitlines() for path in (makings[0]["html"], later["html"]))
    assert [a for a, b in zip(one, other, strict=True) if a != b] != []
    stated = time_text(MADE), time_text(MADE + HOUR)
    assert [line.replace(*stated) for line in one] == other


def test_in_spanish_nothing_stays_english(world: Audited, tmp_path: Path) -> None:
    made = make_report(world.site, BEGIN, END, lang="es", by=BY, out=tmp_path, formats=("html",))
    page = lxml_html.fromstring(made.files["html"].read_bytes())
    assert page.get("lang") == "es"
    english = {en for en, es in words_module._WORDS.values() if en != es and "{" not in en}
    shown = {text.strip() for text in page.itertext() if text.strip()}
    # what a record says is shown as it is
    assert shown & english <= {
        "scrub",
        "drill",
        "repair",
        "recovery",
        "alarm",
        "runbook",
        "attest",
        "schedule",
        "replay",
        "no",
    }


def test_both_languages_say_the_same_values() -> None:
    for key, pair in words_module._WORDS.items():
        assert len({frozenset(re.findall(r"\{(\w+)\}", text)) for text in pair}) == 1, key
        assert all(pair), key
    assert {Words(lang)("page", page=1, pages=2) for lang in LANGUAGES} == {"Page 1 of 2", "Página 1 de 2"}


@pytest.fixture
def copied(world: Audited, tmp_path: Path) -> Path:
    """A copy of the world's data folder, where `run` works."""
    shutil.copytree(world.data, tmp_path / "data", ignore=shutil.ignore_patterns("*.sock"))
    return tmp_path / "data"


def report(run: Run, tmp_path: Path) -> tuple[int, dict[str, Any], Any]:
    code, said = run("report", "--from", FROM, "--to", TO, "--format", "html", "--out", str(tmp_path / "out"))
    return code, said, lxml_html.fromstring(Path(said["files"]["html"]).read_bytes())


def test_a_tampered_record_is_refused_and_named(world: Audited, copied: Path, run: Run, tmp_path: Path) -> None:
    """I89."""
    assert report(run, tmp_path)[0] == 0
    victim, drills = world.put["drill"][4], len(world.put["drill"])
    for n, vault in enumerate(("near", "far")):
        path = copied / "vaults" / vault / victim.name
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.chmod(0o644)
        path.write_bytes(data)
        code, said, page = report(run, tmp_path)
        assert (code, said["ok"]) == (1, False)
        named = [(row["object"], row["vault"], row["problem"]) for row in table(page, "refused")]
        assert named == [(victim.name, name, "tampered with") for name in ("far", "near") if name == "near" or n]
        assert said["drills"] == drills - n, "a whole copy counts, and none does not"
        assert len(table(page, "drills")) == drills - n
        assert "refused" in page.xpath('//ul[@class="verdict"]/li[@class="bad"]')[0].text_content()
    assert run("evidence", "verify")[0] == 1


def test_a_missing_record_is_named(world: Audited, copied: Path, run: Run, tmp_path: Path) -> None:
    victim = world.put["scrub"][5]
    for vault in ("near", "far"):
        (copied / "vaults" / vault / victim.name).unlink()
    code, said, page = report(run, tmp_path)
    assert (code, [one["problem"] for one in said["refused"]]) == (1, ["missing"])
    (row,) = table(page, "refused")
    assert (row["object"], row["problem"]) == (f"sha256:{victim.digest.hex()}", "missing everywhere")


def test_what_a_vault_that_is_away_may_hold_is_told(copied: Path, run: Run, tmp_path: Path) -> None:
    (copied / "vaults" / "far").rename(tmp_path / "far")
    code, said, page = report(run, tmp_path)
    assert (code, said["away"]) == (3, ["far"])
    assert "far" in page.xpath('//ul[@class="verdict"]/li[@class="bad"]')[0].text_content()


def test_the_digest_of_a_report_is_what_verify_prints(world: Audited, made: Made, copied: Path, run: Run) -> None:
    code, said = run("evidence", "verify", "--from", FROM, "--to", TO)
    assert (code, said["digest"]) == (0, made.figures.digest)
    assert run("evidence", "verify", "--from", FROM, "--to", FROM)[1]["digest"] != made.figures.digest
    assert len(check_site_evidence(world.site).found) >= said["records"]


def test_an_installation_without_any_evidence_has_a_report(run: Run, tmp_path: Path) -> None:
    code, said = run("report", "--out", str(tmp_path / "out"), "--lang", "es")
    assert (code, said["records"], said["drills"]) == (0, 0, 0)
    assert said["days_without_records"] and set(said["files"]) == {"html", "pdf"}
    assert Path(said["files"]["pdf"]).read_bytes().startswith(b"%PDF-")
    assert run("report", "--from", "2026-02-03", "--to", "2026-02-02")[0] == 2
    assert run("report", "--from", "2999-01-01", "--to", "2999-02-01")[0] == 2
    assert run("report", "--from", "1999-01-01", "--to", "2026-02-01")[0] == 2


def test_days_and_spans() -> None:
    day = [BEGIN + n * DAY for n in range(10)]
    assert days_without(day[0], day[6], [day[1], day[2] + HOUR]) == [Days(day[0], day[0]), Days(day[3], day[5])]
    assert days_without(day[0], day[2], [day[0], day[1]]) == []
    assert spans_without(day[2], day[9], [day[0], day[4], day[5]], 2 * DAY) == [
        Span(day[0], day[4]),
        Span(day[5], day[9]),
    ]
    assert spans_without(day[2], day[4], [], 2 * DAY) == []
    assert spans_without(day[2], day[4] + 1, [], 2 * DAY) == [Span(day[2], day[4] + 1)]


def test_scales() -> None:
    assert ticks(10) == [0, 2, 4, 6, 8, 10] and ticks(0.001) == [0, 0.0002, 0.0004, 0.0006, 0.0008, 0.001]
    for top in (0.0037, 0.9, 1, 7, 49.99, 123456):
        found = ticks(top)
        assert 2 <= len(found) <= 6 and found[-1] <= top < found[-1] * 1.6
    assert span_text(14_400) == "4\u00a0h" and span_text(90) == "1.5\u00a0min" and span_text(47) == "47\u00a0s"
    assert len(day_ticks(BEGIN, END)) <= 8
    assert (figure_text(12_345.6789), figure_text(1_000_000), cell_text(None)) == (
        "12\u00a0345.679",
        "1\u00a0000\u00a0000",
        "–",
    )
    assert (figure_text(-0.0001), figure_text(2.0), figure_text(0.5)) == ("0", "2", "0.5")
