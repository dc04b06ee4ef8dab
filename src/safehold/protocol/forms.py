"""What a form of our pages sends, and that no page of another site has sent it.

Browsers send Basic credentials by themselves, whichever page a form stands on. So a form counts only where the browser
says that it comes from this server (Sec-Fetch-Site; Origin in older ones: one of them is there in every browser), and
where it carries a token that nobody but this server could have written into it for this account.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

from safehold.model.errors import BadRequest, Forbidden, UnsupportedMedia

MAX_FORM_BYTES = 16 * 1024
MAX_FIELDS = 20
FORM_TYPE = "application/x-www-form-urlencoded"

_TOKEN_CHARS = 32
_DEFAULT_PORTS = {"http": 80, "https": 443}


def read_form(content_type: str, body: bytes) -> dict[str, str]:
    """The fields by name, the first of each. Raises UnsupportedMedia, BadRequest."""
    if content_type.partition(";")[0].strip().lower() != FORM_TYPE:
        raise UnsupportedMedia(f"a form is sent as {FORM_TYPE}")
    try:
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        raise BadRequest("this form is not well formed") from None
    return {name: values[0] for name, values in fields.items()}


def check_from_here(site: str | None, origin: str | None, own: Collection[str]) -> None:
    """That a form was sent from a page of this server. `site` is Sec-Fetch-Site, `own` are the server's origins.

    Raises Forbidden, also where the browser tells nothing.
    """
    told = site is not None or origin is not None
    here = site in (None, "same-origin") and (origin is None or _origin(origin) in {_origin(url) for url in own})
    if not told or not here:
        raise Forbidden(
            "this form was not sent from a page of this server",
            hint="open /devices and try again; behind a proxy the operator has to set public_url or trusted_proxies",
        )


def _origin(url: str) -> tuple[str, str, int | None] | None:
    """What makes an origin (RFC 6454 section 4): scheme, host and port; None where it is none, such as `null`."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.scheme and parts.hostname else None


def form_token(key: bytes, day: int) -> str:
    """The token of a day's forms, under a key that is the account's alone."""
    return hmac.new(key, b"forms of day %d" % day, sha256).hexdigest()[:_TOKEN_CHARS]


def check_form_token(key: bytes, day: int, token: str) -> None:
    """A form is good on the day on which it was shown and on the next. Raises Forbidden."""
    good = [form_token(key, when) for when in (day, day - 1)]
    given = token.encode("utf-8", "surrogatepass")
    if not any(hmac.compare_digest(given, one.encode()) for one in good):
        raise Forbidden("this form is too old, or was made by somebody else", hint="open /devices and try again")
