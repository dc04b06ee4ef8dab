"""A document as PDF, for printing and filing: the same cells and shapes as the HTML, drawn as vectors with bookmarks.

ReportLab (BSD) sets the pages; it is loaded only here. Its Bitstream Vera is embedded, so that the file looks the same
everywhere; a character that it lacks is written as its number (`\\u4e16`), never left out. The file bears no moment but
the one that the document states: the same document gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from html import escape
from io import BytesIO
from typing import Any

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
    State,
    Table,
    Tone,
    cell_text,
)

_MM = 72 / 25.4
_WIDTH, _HEIGHT = 210 * _MM, 297 * _MM
_MARGIN, _HEAD, _FOOT = 14 * _MM, 16 * _MM, 18 * _MM
_ROOM = _WIDTH - 2 * _MARGIN
_INK, _SOFT, _LINE, _MARK = "#1d2b2a", "#55625f", "#c9c4b8", "#0b6b61"
_TONES = {Tone.GOOD: "#1c6f37", Tone.WARN: "#8a5100", Tone.BAD: "#b3261e", Tone.SOFT: _SOFT}
#: Colour, width and dashes of lines.
_STROKES: dict[str, tuple[str, float, tuple[float, ...]]] = {
    "axis": (_SOFT, 0.7, ()),
    "grid": ("#e3dfd5", 0.6, ()),
    "target": ("#8a5100", 1.1, (5, 3)),
    "bad": ("#b3261e", 1.8, ()),
    "s0": (_MARK, 1.4, ()),
    "s1": ("#b4551a", 1.4, (6, 2.5)),
    "s2": ("#5b4bb0", 1.4, (1.5, 2.5)),
    "s3": ("#a0306f", 1.4, (7, 2.5, 1.5, 2.5)),
    "s4": ("#2f6ea8", 1.4, (3.5, 2)),
    "s5": ("#6d6a1f", 1.4, (1, 3.5)),
}
_FILLS = {"band": "#cfe2df", "gap": "#ecebe8"}
_LABELS = {"text": (_SOFT, False), "soft": (_SOFT, False), "target": ("#8a5100", False), "value": (_INK, False)}
_CELL_POINTS, _HEAD_POINTS, _MONO_POINTS, _LABEL_POINTS = 6.6, 6.2, 5.2, 7.6
_PLAIN, _BOLD, _MONO = "Vera", "VeraBd", "Courier"


def pdf_of(document: Document) -> bytes:
    """The whole file."""
    from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate

    _fonts()
    frame = Frame(_MARGIN, _FOOT, _ROOM, _HEIGHT - _HEAD - _FOOT, 0, 0, 0, 0, id="page")
    count = 0
    data = b""
    for pages in (0, None):  # the first time to see how many pages there are
        file = BytesIO()
        template = BaseDocTemplate(
            file,
            pagesize=(_WIDTH, _HEIGHT),
            title=f"{document.title}: {document.subtitle}",
            author="Safehold",
            subject=document.foot,
            lang=document.lang,
            invariant=1,
            pageCompression=1,
        )
        total = pages if pages is not None else count
        template.addPageTemplates([PageTemplate("page", [frame], onPage=_page_frame(document, total))])
        template.afterFlowable = _bookmark(template)
        template.build(list(_story(document)))
        count, data = template.page, file.getvalue()
    return data


def _page_frame(document: Document, pages: int) -> Callable[[Any, Any], None]:
    def draw(canvas: Any, template: Any) -> None:
        canvas.saveState()
        canvas.setStrokeColor(_LINE)
        canvas.setLineWidth(0.5)
        canvas.line(_MARGIN, _FOOT - 10, _WIDTH - _MARGIN, _FOOT - 10)
        canvas.setFillColor(_SOFT)
        canvas.setFont(_PLAIN, 7)
        canvas.drawString(_MARGIN, _FOOT - 20, _written(document.foot))
        number = document.page.format(page=template.page, pages=pages)
        canvas.drawRightString(_WIDTH - _MARGIN, _FOOT - 20, _written(number))
        canvas.restoreState()

    return draw


def _bookmark(template: Any) -> Callable[[Any], None]:
    """Headings of sections are entries of the outline, and where the contents lead to."""

    def after(flowable: Any) -> None:
        key = getattr(flowable, "section_key", None)
        if key is not None:
            template.canv.bookmarkPage(key)
            template.canv.addOutlineEntry(flowable.section_title, key, 0, closed=True)

    return after


def _story(document: Document) -> Iterator[Any]:
    from reportlab.platypus import CondPageBreak, PageBreak, Spacer

    yield Spacer(1, 26 * _MM)
    yield _logo()
    yield Spacer(1, 8 * _MM)
    yield _paragraph(document.title, size=25, font=_BOLD, leading=30)
    yield Spacer(1, 2 * _MM)
    yield _paragraph(document.subtitle, size=13, color=_SOFT)
    yield Spacer(1, 9 * _MM)
    yield from _pairs(document.cover, mono=True)
    yield Spacer(1, 7 * _MM)
    for one in document.verdict:
        yield _verdict(one)
        yield Spacer(1, 2 * _MM)
    yield PageBreak()
    yield _paragraph(document.contents, size=14, font=_BOLD, leading=20)
    for number, section in enumerate(document.sections, 1):
        link = f'<a href="#{section.key}" color="{_MARK}">{number}&nbsp;&nbsp;{_marked(section.title)}</a>'
        yield _paragraph(link, size=9.5, leading=15, marked=True)
    for number, section in enumerate(document.sections, 1):
        yield Spacer(1, 8 * _MM)
        yield CondPageBreak(60 * _MM)
        heading = _paragraph(f"{number}  {section.title}", size=14, font=_BOLD, leading=20)
        heading.section_key, heading.section_title = section.key, _written(f"{number}  {section.title}")
        yield heading
        for block in section.blocks:
            yield from _block(block)


def _block(block: Block) -> Iterator[Any]:
    from reportlab.platypus import KeepTogether, Spacer

    if isinstance(block, Para):
        yield _paragraph(block.text, size=8.6, leading=12, color=_TONES[block.tone] if block.tone else _INK)
        yield Spacer(1, 2 * _MM)
    elif isinstance(block, Pairs):
        yield from _pairs(block)
    elif isinstance(block, Table):
        yield from _table(block)
    else:
        title = _paragraph(block.title, size=9.5, font=_BOLD, leading=13)
        told = _paragraph(block.told, size=7.4, leading=10, color=_SOFT)
        yield KeepTogether([Spacer(1, 3 * _MM), title, told, Spacer(1, 1.5 * _MM), _drawn(block)])
        if block.table is not None:
            yield from _table(block.table)


# -- tables ----------------------------------------------------------------------------------------------------


def _pairs(pairs: Pairs, *, mono: bool = False) -> Iterator[Any]:
    from reportlab.platypus import Spacer
    from reportlab.platypus import Table as Grid

    rows = [
        [
            _paragraph(name, size=8, color=_SOFT),
            _paragraph(cell_text(cell), size=7.8 if mono else 8, font=_MONO if mono else _PLAIN, breaks=True),
        ]
        for name, cell in pairs.rows
    ]
    grid = Grid(rows, colWidths=[58 * _MM if mono else 16 * _MM, _ROOM - (58 if mono else 16) * _MM])
    grid.setStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (0, -1), 0), *_paddings(2)])
    yield grid
    yield Spacer(1, 2 * _MM)


def _table(table: Table) -> Iterator[Any]:
    from reportlab.platypus import CondPageBreak, LongTable, Spacer

    widths = _widths(table)
    rows: list[list[Any]] = [
        [_paragraph(c.title, size=_HEAD_POINTS, color=_SOFT, leading=7.6, right=c.number) for c in table.columns]
    ]
    anchors = table.key == "records"
    for row in table.rows:
        rows.append(
            [
                _cell(column, cell, width - 6, anchor=anchors)
                for column, cell, width in zip(table.columns, row, widths, strict=True)
            ]
        )
    caption = _paragraph(table.caption, size=8.2, font=_BOLD, leading=11)
    yield CondPageBreak(28 * _MM)
    yield Spacer(1, 2 * _MM)
    yield caption
    grid = LongTable(rows, colWidths=widths, repeatRows=1)
    style: list[Any] = [
        ("VALIGN", (0, 0), (-1, 0), "BOTTOM"),
        ("VALIGN", (0, 1), (-1, -1), "TOP"),
        ("LINEBELOW", (0, 0), (-1, 0), 0.8, _MARK),
        ("LINEBELOW", (0, 1), (-1, -1), 0.35, _LINE),
        ("FONT", (0, 1), (-1, -1), _PLAIN, _CELL_POINTS, _CELL_POINTS * 1.25),
        ("TEXTCOLOR", (0, 1), (-1, -1), _INK),
        ("LEFTPADDING", (0, 0), (-1, -1), 3),
        ("RIGHTPADDING", (0, 0), (-1, -1), 3),
        *_paddings(1.8),
    ]
    style += [("ALIGN", (n, 1), (n, -1), "RIGHT") for n, column in enumerate(table.columns) if column.number]
    grid.setStyle(style)
    yield grid
    yield Spacer(1, 3 * _MM)


def _paddings(points: float) -> list[Any]:
    return [("TOPPADDING", (0, 0), (-1, -1), points), ("BOTTOMPADDING", (0, 0), (-1, -1), points)]


def _widths(table: Table) -> list[float]:
    """Each column what its longest word needs, then by weight up to what its text wants; the rest in proportion."""
    least, wanted = [], []
    for place, column in enumerate(table.columns):
        cells = [row[place] for row in table.rows]
        whole = [_width_of(column, cell) for cell in cells]
        words = [_width_of(column, cell, word) for cell in cells for word in cell_text(cell).split(" ")]
        head = max(_text_width(word, _PLAIN, _HEAD_POINTS) for word in column.title.split(" "))
        longest = max(whole, default=0.0)
        word = longest if column.number else min(max(words, default=0.0), 90.0 * column.weight)
        least.append(max(head, word) + 7)
        wanted.append(max(least[-1], min(longest + 7, _ROOM)))
    left = _ROOM - sum(least)
    more = [(want - need) * column.weight for want, need, column in zip(wanted, least, table.columns, strict=True)]
    if left > 0 and any(more):
        share = left / sum(more)
        least = [min(want, need + share * m) for want, need, m in zip(wanted, least, more, strict=True)]
    return [width * _ROOM / sum(least) for width in least]


def _width_of(column: Column, cell: Cell, word: str | None = None) -> float:
    font, size = _font_of(column, cell)
    return _text_width(cell_text(cell) if word is None else word, font, size)


def _font_of(column: Column, cell: Cell) -> tuple[str, float]:
    if isinstance(cell, State):
        return _BOLD, _CELL_POINTS
    return (_MONO, _MONO_POINTS) if column.mono else (_PLAIN, _CELL_POINTS)


def _cell(column: Column, cell: Cell, width: float, *, anchor: bool) -> Any:
    """A plain text where it fits into a line: a paragraph costs a hundred times as much."""
    text = cell_text(cell)
    font, size = _font_of(column, cell)
    if isinstance(cell, Ref):
        mark = (
            f'<a name="r{cell.number}"/>{text}' if anchor else f'<a href="#r{cell.number}" color="{_MARK}">{text}</a>'
        )
        return _paragraph(mark, size=size, marked=True)
    if isinstance(cell, State):
        return _paragraph(text, size=size, color=_TONES[cell.tone], font=font)
    if not column.mono and _text_width(text, font, size) <= width:
        return _written(text)
    return _paragraph(text, size=size, font=font, breaks=column.mono, right=column.number)


def _paragraph(
    text: str,
    *,
    size: float,
    font: str = _PLAIN,
    color: str = _INK,
    leading: float = 0.0,
    right: bool = False,
    breaks: bool = False,
    marked: bool = False,
) -> Any:
    """`marked`: it is markup already. `breaks`: it may be broken anywhere."""
    from reportlab.platypus import Paragraph

    return Paragraph(
        text if marked else _marked(text, font), _style(size, font, color, leading or size * 1.25, right, breaks)
    )


@cache
def _style(size: float, font: str, color: str, leading: float, right: bool, breaks: bool) -> Any:
    from reportlab.lib.styles import ParagraphStyle

    return ParagraphStyle(
        "text",
        fontName=font,
        fontSize=size,
        leading=leading,
        textColor=color,
        alignment=2 if right else 0,
        wordWrap="CJK" if breaks else None,
        splitLongWords=1,
    )


# -- drawing ---------------------------------------------------------------------------------------------------


def _drawn(figure: Figure) -> Any:
    from reportlab.platypus import Flowable

    scale = _ROOM / figure.width

    class Drawing(Flowable):  # type: ignore[misc]
        def wrap(self, *_: float) -> tuple[float, float]:
            self.width, self.height = _ROOM, figure.height * scale
            return self.width, self.height

        def draw(self) -> None:
            self.canv.saveState()
            self.canv.scale(scale, scale)
            for shape in figure.shapes:
                _draw(self.canv, shape, figure.height)
            self.canv.restoreState()

    return Drawing()


def _draw(canvas: Any, shape: Line | Area | Dot | Cross | Label, height: float) -> None:
    """Shapes count downwards, pages upwards."""
    if isinstance(shape, Label):
        color, _ = _LABELS.get(shape.style, (_INK, True))
        canvas.setFillColor(color)
        canvas.setFont(_BOLD if shape.style == "name" else _PLAIN, _LABEL_POINTS)
        place = {"start": canvas.drawString, "middle": canvas.drawCentredString, "end": canvas.drawRightString}
        place[shape.anchor](shape.x, height - shape.y, _written(shape.text))
    elif isinstance(shape, Area):
        canvas.setFillColor(_FILLS[shape.style])
        canvas.drawPath(_path(canvas, shape.points, height), stroke=0, fill=1)
    else:
        color, width, dashes = _STROKES[shape.style]
        canvas.setStrokeColor(color)
        canvas.setLineWidth(width)
        canvas.setDash(*((list(dashes), 0) if dashes else ()))
        if isinstance(shape, Line):
            canvas.drawPath(_path(canvas, shape.points, height), stroke=1, fill=0)
        elif isinstance(shape, Dot):
            canvas.setFillColor("#ffffff" if shape.hollow else color)
            canvas.circle(shape.x, height - shape.y, 3.2, stroke=1, fill=1)
        else:
            x, y = shape.x, height - shape.y
            canvas.lines([(x - 4, y - 4, x + 4, y + 4), (x - 4, y + 4, x + 4, y - 4)])


def _path(canvas: Any, points: Sequence[tuple[float, float]], height: float) -> Any:
    path = canvas.beginPath()
    path.moveTo(points[0][0], height - points[0][1])
    for x, y in points[1:]:
        path.lineTo(x, height - y)
    return path


def _logo() -> Any:
    size = 34.0
    center = size / 2
    circle = [Dot(center, center, "s0", hollow=True)]
    figure = Figure("logo", "", "", _ROOM, size, circle)
    drawing = _drawn(figure)

    def draw() -> None:
        canvas = drawing.canv
        canvas.setFillColor(_MARK)
        canvas.roundRect(0, 0, size, size, 9, stroke=0, fill=1)
        canvas.setStrokeColor("#ffffff")
        canvas.setLineWidth(2.4)
        canvas.circle(center, center, 9.5, stroke=1, fill=0)
        canvas.lines([(center, center, center + dx, center + dy) for dx, dy in ((0, 6.5), (5.6, -3.2), (-5.6, -3.2))])

    drawing.draw = draw
    return drawing


def _verdict(one: State) -> Any:
    from reportlab.platypus import Table as Grid

    grid = Grid([[_paragraph(one.text, size=9, leading=12)]], colWidths=[_ROOM])
    grid.setStyle(
        [
            ("LINEBEFORE", (0, 0), (0, -1), 3.5, _TONES[one.tone]),
            ("BACKGROUND", (0, 0), (-1, -1), "#f6f4ef"),
            ("LEFTPADDING", (0, 0), (-1, -1), 9),
            *_paddings(4),
        ]
    )
    return grid


# -- text ------------------------------------------------------------------------------------------------------


@cache
def _fonts() -> None:
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    for name in (_PLAIN, _BOLD):
        pdfmetrics.registerFont(TTFont(name, f"{name}.ttf"))
    pdfmetrics.registerFontFamily(_PLAIN, normal=_PLAIN, bold=_BOLD, italic=_PLAIN, boldItalic=_BOLD)


@cache
def _glyphs() -> frozenset[int]:
    from reportlab.pdfbase import pdfmetrics

    _fonts()
    return frozenset(pdfmetrics.getFont(_PLAIN).face.charToGlyph)


def _written(text: str, font: str = _PLAIN) -> str:
    """With the numbers of what the font has not instead."""
    if text.isascii():
        return text
    if font == _MONO:
        return text.encode("cp1252", "backslashreplace").decode("cp1252")
    return "".join(c if ord(c) in _glyphs() else c.encode("ascii", "backslashreplace").decode() for c in text)


def _marked(text: str, font: str = _PLAIN) -> str:
    return escape(_written(text, font), quote=False)


@cache
def _char_width(char: str, font: str) -> float:
    from reportlab.pdfbase.pdfmetrics import stringWidth

    return float(stringWidth(char, font, 1.0))


def _text_width(text: str, font: str, size: float) -> float:
    return size * sum(_char_width(char, font) for char in _written(text, font))
