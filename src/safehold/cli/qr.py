"""QR codes of secrets: on the terminal, and in new files that only their owner reads."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

from safehold.cli.exits import UsageError

#: Around the code, in modules: four by the standard (ISO/IEC 18004); two are enough on a terminal.
_QUIET_ZONE = 4
_QUIET_ON_TERMINAL = 2
_SCALE = 8
#: Upper and lower half of a character, light or dark. Light is drawn, since most terminals are dark.
_HALVES = {(0, 0): "\N{FULL BLOCK}", (0, 1): "\N{UPPER HALF BLOCK}", (1, 0): "\N{LOWER HALF BLOCK}", (1, 1): " "}


def qr_text(text: str) -> str:
    """Two rows of modules a line, in half blocks."""
    rows = [list(map(int, row)) for row in _code(text).matrix_iter(border=_QUIET_ON_TERMINAL)]
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    return "\n".join(
        "".join(_HALVES[upper, lower] for upper, lower in zip(*pair, strict=True))
        for pair in zip(rows[::2], rows[1::2], strict=True)
    )


def save_qr(text: str, path: Path, kind: str) -> None:
    """Into a new file, `svg` or `png`. Raises UsageError where one is there."""
    data = BytesIO()
    _code(text).save(data, kind=kind, border=_QUIET_ZONE, scale=_SCALE, light="#fff")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} is there already", hint="name a new file") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(data.getvalue())


def _code(text: str):  # type: ignore[no-untyped-def]
    import segno

    return segno.make(text, error="m", micro=False)
