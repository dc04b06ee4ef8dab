"""`python -m safehold.cli.runbook_pages DIR`: writes the pages of all runbooks into DIR, in Spanish into DIR/es."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from safehold.proof.runbooks import all_runbooks
from safehold.proof.runbooks.page import index, page
from safehold.proof.runbooks.value import LANGUAGES


def pages() -> Iterator[tuple[str, str]]:
    """Each page's place below the folder, and its text."""
    books = all_runbooks()
    for lang in LANGUAGES:
        below = "" if lang == "en" else f"{lang}/"
        yield f"{below}README.md", index(books, lang)
        for book in books:
            yield f"{below}{book.name}.md", page(book, lang)


def write(folder: Path) -> None:
    for place, text in pages():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
