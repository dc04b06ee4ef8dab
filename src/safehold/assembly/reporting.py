"""A report made of a data folder: records checked in every vault, series read back, files written as a whole."""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from safehold import __version__
from safehold.assembly.evidence import check_site_evidence
from safehold.assembly.series import read_series
from safehold.assembly.site import Site
from safehold.proof.objectives import AGES, PROMISES
from safehold.proof.report.compose import Basis, Figures, compose
from safehold.proof.report.document import day_text
from safehold.proof.report.html import html_of
from safehold.recovery.evidence_check import Checked

HTML, PDF = "html", "pdf"
FORMATS = (HTML, PDF)


class Made(NamedTuple):
    """A report, and where it lies."""

    files: dict[str, Path]  # by format
    figures: Figures
    checked: Checked


def make_report(
    site: Site, begin: int, end: int, *, lang: str, by: str, out: Path, formats: Sequence[str] = FORMATS
) -> Made:
    """Of the days from `begin` up to `end` (µs, whole days). Raises OperatorError, KeyAway, OSError."""
    checked = check_site_evidence(site)
    basis = Basis(
        site.opener.installation,
        __version__,
        begin,
        end,
        site.clock.now(),
        by,
        checked,
        read_series(site, begin, end),
        targets(site),
        [vault.name for vault in site.config.vaults],
    )
    document, figures = compose(basis, lang)
    name = f"safehold-report-{day_text(begin)}-{day_text(end - 1)}" + ("" if lang == "en" else f".{lang}")
    files = {}
    out.mkdir(parents=True, exist_ok=True)
    for kind in formats:
        files[kind] = out / f"{name}.{kind}"
        _write(files[kind], html_of(document) if kind == HTML else _pdf(document))
    return Made(files, figures, checked)


def targets(site: Site) -> dict[str, float]:
    """What is wanted, in seconds, by objective."""
    wanted = site.config.objectives
    found = {name: getattr(wanted, name) for name in (*PROMISES, *AGES)}
    for kind, own in wanted.kinds:
        found.update((f"{kind.value}.{name}", getattr(own, name)) for name in PROMISES)
    return {name: float(seconds) for name, seconds in found.items() if seconds is not None}


def who() -> str:
    """The user that runs this, and where: what stands in a report where nobody else is named."""
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        name = str(os.geteuid())
    return f"{name}@{os.uname().nodename}"


def _pdf(document: object) -> bytes:
    from safehold.proof.report.document import Document
    from safehold.proof.report.pdf import pdf_of

    assert isinstance(document, Document)
    return pdf_of(document)


def _write(path: Path, data: bytes) -> None:
    """Raises OSError."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(data)
    os.replace(temporary, path)
