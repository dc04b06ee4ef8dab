"""A document as one HTML file that needs nothing else: no scripts, nothing loaded; figures are SVG with tables beside.

Light and dark by what the reader prefers; on paper always light. Colour never says anything alone: states are words,
lines differ by their dashes, drills that differ are crosses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from safehold.proof.report.document import (
    Area,
    Block,
    Cell,
    Column,
    Cross,
    Document,
    Dot,
    Figure,
    Label,
    Line,
    Pairs,
    Para,
    Ref,
    Section,
    Shape,
    State,
    Table,
    cell_text,
)

_STYLE = """
:root{color-scheme:light dark;--paper:#fbfaf7;--card:#fff;--ink:#1d2b2a;--soft:#5c6b69;--line:#ddd8cc;--mark:#0b6b61;
--good:#1c6f37;--warn:#8a5100;--bad:#b3261e;--band:#0b6b6126;--gap:#8a8a8a24;
--s0:#0b6b61;--s1:#b4551a;--s2:#5b4bb0;--s3:#a0306f;--s4:#2f6ea8;--s5:#6d6a1f}
@media(prefers-color-scheme:dark){:root{--paper:#121817;--card:#1a2221;--ink:#e6ece9;--soft:#9fb0ac;--line:#2f3b39;
--mark:#62c9ba;--good:#6fcf8a;--warn:#e5b35c;--bad:#f28b82;--band:#62c9ba33;--gap:#aaaaaa26;
--s0:#62c9ba;--s1:#f0a36b;--s2:#b3a7f5;--s3:#ee8cc0;--s4:#86bdf0;--s5:#d3cf6a}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
main{max-width:72rem;margin:0 auto;padding:0 1.5rem 4rem}
a{color:var(--mark);text-underline-offset:.2em}
a:focus-visible,.wide:focus-visible{outline:2px solid var(--mark);outline-offset:2px}
.cover{border-bottom:1px solid var(--line);padding:3.5rem 0 1.5rem;margin-bottom:1rem}
.cover svg{width:2.6rem;height:2.6rem}
h1{font-size:clamp(1.9rem,4.5vw,2.9rem);line-height:1.12;letter-spacing:-.02em;margin:1rem 0 .35rem;max-width:20em;
text-wrap:balance}
.lead{font-size:1.2rem;color:var(--soft);margin:0 0 1.75rem}
h2{font-size:1.45rem;letter-spacing:-.01em;margin:3.25rem 0 .75rem;padding-top:.9rem;border-top:2px solid var(--mark)}
p{max-width:48em;margin:.6rem 0}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.3rem 1.5rem;margin:1rem 0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
.cover dd{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.92em}
.verdict{list-style:none;margin:1.5rem 0 0;padding:0;display:grid;gap:.5rem}
.verdict li{background:var(--card);border:1px solid var(--line);border-left:5px solid;border-radius:6px;
padding:.6rem .9rem}
.verdict .good{border-left-color:var(--good)}.verdict .warn{border-left-color:var(--warn)}
.verdict .bad{border-left-color:var(--bad)}.verdict li span{color:var(--ink)}
nav ol{columns:2 20rem;column-gap:2.5rem;padding-left:1.4rem;margin:.5rem 0}
nav h2{border:0;padding:0;margin:1.75rem 0 .25rem;font-size:1.1rem}
.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}.soft{color:var(--soft)}
td.good,td.bad,td.warn{font-weight:600}
.wide{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:8px;margin:1rem 0}
table{border-collapse:collapse;width:100%;font-size:.875rem;line-height:1.4}
caption{text-align:left;padding:.65rem .8rem .35rem;font-weight:600}
th,td{text-align:left;vertical-align:top;padding:.4rem .8rem;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:600;font-size:.8rem;vertical-align:bottom}
tbody tr:last-child>*{border-bottom:0}
tbody tr:nth-child(even){background:color-mix(in srgb,var(--line) 22%,transparent)}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.t{white-space:nowrap;font-variant-numeric:tabular-nums}
.m{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.8rem;overflow-wrap:anywhere}
#demands-table td{min-width:9rem}#demands-table td:nth-child(2){min-width:20rem}
figure{margin:1.5rem 0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.9rem 1rem 1rem}
figcaption{font-weight:600;margin-bottom:.15rem}
figure p{color:var(--soft);font-size:.9rem;margin:.1rem 0 .6rem}
figure svg{display:block;width:100%;height:auto}
figure .wide{border:0;border-top:1px solid var(--line);border-radius:0;margin:.8rem 0 0;max-height:22rem;overflow:auto}
svg text{font:11px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:var(--soft)}
svg text.name{font-weight:600;fill:var(--ink)}svg text.value{fill:var(--ink)}svg text.target{fill:var(--warn)}
svg .line{fill:none;stroke-width:1.7;stroke-linejoin:round;stroke-linecap:round}
svg .axis{stroke:var(--soft);stroke-width:1}svg .grid{stroke:var(--line);stroke-width:1}
svg .target{stroke:var(--warn);stroke-width:1.4;stroke-dasharray:6 4}
svg text.target{paint-order:stroke;stroke:var(--card);stroke-width:3;stroke-dasharray:none}
svg .s0{stroke:var(--s0)}svg .s1{stroke:var(--s1);stroke-dasharray:7 3}svg .s2{stroke:var(--s2);stroke-dasharray:2 3}
svg .s3{stroke:var(--s3);stroke-dasharray:9 3 2 3}svg .s4{stroke:var(--s4);stroke-dasharray:4 2}
svg .s5{stroke:var(--s5);stroke-dasharray:1 4}
svg .bad{stroke:var(--bad);stroke-width:2.2}svg circle.s0{fill:var(--s0);stroke-width:1.6}
svg circle.hollow{fill:var(--card)}svg .band{fill:var(--band)}svg .gap{fill:var(--gap)}
footer{color:var(--soft);font-size:.85rem;border-top:1px solid var(--line);margin-top:3rem;padding-top:1rem;
overflow-wrap:anywhere}
@media(max-width:40rem){dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.5rem}main{padding:0 1rem 3rem}}
@media print{:root{--paper:#fff;--card:#fff;--ink:#111;--soft:#444;--line:#bbb;--mark:#0b6b61;--good:#1c6f37;
--warn:#8a5100;--bad:#b3261e;--band:#0b6b6126;--gap:#8a8a8a24;--s0:#0b6b61;--s1:#b4551a;--s2:#5b4bb0;--s3:#a0306f;
--s4:#2f6ea8;--s5:#6d6a1f}
@page{size:A4;margin:16mm 13mm}
body{font-size:9.5pt;print-color-adjust:exact;-webkit-print-color-adjust:exact}main{max-width:none;padding:0}
.wide,figure .wide{overflow:visible;max-height:none}table{font-size:7pt}th{font-size:6.8pt}th,td{padding:.2rem .3rem}
.m{font-size:6pt;word-break:break-all}td.t{white-space:normal}thead{display:table-header-group}
tr,figure>svg,.verdict li{break-inside:avoid}h2,figcaption,caption{break-after:avoid}a{color:inherit}
#demands-table td{min-width:0!important}
.cover{padding-top:1rem}nav{break-after:page}#demands,#records{break-before:page}}
"""

_LOGO = (
    '<svg viewBox="0 0 32 32" aria-hidden="true"><rect x="2" y="2" width="28" height="28" rx="8" fill="#0b6b61"/>'
    '<circle cx="16" cy="16" r="8" fill="none" stroke="#fff" stroke-width="2.4"/>'
    '<path d="M16 16V10.6M16 16l4.7 2.7M16 16l-4.7 2.7" stroke="#fff" stroke-width="2.4" stroke-linecap="round"/></svg>'
)
#: Nothing may be loaded and nothing run, whatever a record says.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def html_of(document: Document) -> bytes:
    """UTF-8; the same bytes for the same document."""
    contents = "".join(f'<li><a href="#{s.key}">{escape(s.title)}</a></li>' for s in document.sections)
    verdict = "".join(f'<li class="{one.tone}"><span>{escape(one.text)}</span></li>' for one in document.verdict)
    parts = [
        f'<!doctype html>\n<html lang="{document.lang}">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="content-security-policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape(document.title)}: {escape(document.subtitle)}</title>",
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>",
        f'<header class="cover">{_LOGO}<h1>{escape(document.title)}</h1>'
        f'<p class="lead">{escape(document.subtitle)}</p>{_pairs(document.cover)}'
        f'<ul class="verdict">{verdict}</ul></header>',
        f'<nav aria-labelledby="contents"><h2 id="contents">{escape(document.contents)}</h2><ol>{contents}</ol></nav>',
        *(_section(section) for section in document.sections),
        f"<footer>{escape(document.foot)}</footer>\n</main>\n</body>\n</html>\n",
    ]
    return "\n".join(parts).encode()


def _section(section: Section) -> str:
    blocks = "\n".join(_block(block) for block in section.blocks)
    heading = f'<h2 id="{section.key}">{escape(section.title)}</h2>'
    return f'<section aria-labelledby="{section.key}">{heading}\n{blocks}\n</section>'


def _block(block: Block) -> str:
    if isinstance(block, Para):
        tone = f' class="{block.tone}"' if block.tone else ""
        return f"<p{tone}>{escape(block.text)}</p>"
    if isinstance(block, Pairs):
        return _pairs(block)
    return _table(block) if isinstance(block, Table) else _figure(block)


def _pairs(pairs: Pairs) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(cell_text(cell))}</dd>" for name, cell in pairs.rows)
    return f'<dl id="{escape(pairs.key)}-pairs">{rows}</dl>'


def _table(table: Table) -> str:
    """It scrolls by itself where it is wide: a focus lets the keyboard do so."""
    key = escape(table.key)
    heads = "".join(
        f'<th scope="col" data-key="{escape(c.key)}"{_class(c)}>{escape(c.title)}</th>' for c in table.columns
    )
    own = table.key == "records"
    rows = "\n".join(_row(table.columns, row, own=own) for row in table.rows)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-labelledby="{key}-caption">'
        f'<table id="{key}-table"><caption id="{key}-caption">{escape(table.caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>{rows}</tbody></table></div>"
    )


def _row(columns: Sequence[Column], row: Sequence[Cell], *, own: bool) -> str:
    """`own`: in the list of all records, where references lead."""
    cells = "".join(_cell(column, cell, own=own) for column, cell in zip(columns, row, strict=True))
    target = f' id="r{row[0].number}"' if own and isinstance(row[0], Ref) else ""
    return f"<tr{target}>{cells}</tr>"


def _cell(column: Column, cell: Cell, *, own: bool) -> str:
    text = escape(cell_text(cell))
    if isinstance(cell, Ref) and not own:
        return f'<td class="t"><a href="#r{cell.number}">{text}</a></td>'
    if isinstance(cell, State):
        return f'<td class="{cell.tone}">{text}</td>'
    timed = column.key in ("at", "began", "day", "latest", "from", "until") and not column.number
    return f'<td class="t">{text}</td>' if timed else f"<td{_class(column)}>{text}</td>"


def _class(column: Column) -> str:
    return ' class="n"' if column.number else ' class="m"' if column.mono else ""


def _figure(figure: Figure) -> str:
    key = escape(figure.key)
    shapes = "".join(_shapes(figure.shapes))
    table = _table(figure.table) if figure.table is not None else ""
    return (
        f'<figure id="{key}-figure"><figcaption id="{key}-title">{escape(figure.title)}</figcaption>'
        f'<p id="{key}-told">{escape(figure.told)}</p><svg viewBox="0 0 {figure.width:g} {figure.height:g}" role="img" '
        f'aria-labelledby="{key}-title" aria-describedby="{key}-told">{shapes}</svg>{table}</figure>'
    )


def _shapes(shapes: Iterable[Shape]) -> Iterable[str]:
    for shape in shapes:
        if isinstance(shape, Line | Area):
            points = " ".join(f"{x:g},{y:g}" for x, y in shape.points)
            kind = "polyline" if isinstance(shape, Line) else "polygon"
            yield f'<{kind} class="{"line " if isinstance(shape, Line) else ""}{shape.style}" points="{points}"/>'
        elif isinstance(shape, Dot):
            hollow = " hollow" if shape.hollow else ""
            yield f'<circle class="{shape.style}{hollow}" cx="{shape.x:g}" cy="{shape.y:g}" r="3.4"/>'
        elif isinstance(shape, Cross):
            x, y = shape.x, shape.y
            yield f'<path class="line {shape.style}" d="M{x - 4:g} {y - 4:g}l8 8m0-8l-8 8"/>'
        else:
            yield _label(shape)


def _label(label: Label) -> str:
    return (
        f'<text class="{label.style}" x="{label.x:g}" y="{label.y:g}" text-anchor="{label.anchor}">'
        f"{escape(label.text)}</text>"
    )
