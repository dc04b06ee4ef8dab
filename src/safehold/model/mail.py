"""Mail addresses as they are kept and configured."""

from __future__ import annotations

import re

from safehold.model.errors import BadRequest

MAX_ADDRESS = 254  # RFC 5321 section 4.5.3.1.3
#: What is sent to without a doubt about where it ends: no comments, no quoted local parts, no header's line ends.
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*\Z")


def check_address(text: str) -> str:
    """The address, trimmed. Raises BadRequest where this is no address that mail is sent to."""
    text = text.strip()
    if len(text) > MAX_ADDRESS or not _ADDRESS.match(text):
        raise BadRequest(f"{text[:80]!r} is no mail address", hint="for instance ada@example.org")
    return text
