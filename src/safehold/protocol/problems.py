"""A typed error as an answer: status, headers, and an XML body that a device can read (RFC 4918 section 16).

The body is a DAV:error with the element that the standard names for the case, if it names one, and the sentence
and the hint of the error in elements of our own. Always XML: a client was seen to fail over a text/plain 412.
"""

from __future__ import annotations

from safehold.model.errors import (
    BadRequest,
    BadToken,
    Conflict,
    Damaged,
    Forbidden,
    Held,
    InvalidContent,
    Locked,
    NotAllowed,
    NotFound,
    OperatorError,
    OtherServer,
    OutOfSpace,
    OverQuota,
    PreconditionFailed,
    RequestError,
    SafeholdError,
    TooLarge,
    TooManyAttempts,
    Unauthenticated,
    UnsupportedMedia,
)
from safehold.protocol.names import DAV, XML_DECLARATION, element, empty, escape, quote_path
from safehold.protocol.target import user_href

XML_TYPE = (b"content-type", b"application/xml; charset=utf-8")
CHALLENGE = (b"www-authenticate", b'Basic realm="Safehold", charset="UTF-8"')
#: Base of Retry-After where nothing better is known.
RETRY_AFTER_SECONDS = 60

VALID_SYNC_TOKEN = DAV + "valid-sync-token"

Headers = list[tuple[bytes, bytes]]

_STATUS: dict[type[SafeholdError], int] = {
    BadRequest: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    InvalidContent: 403,
    BadToken: 403,
    NotFound: 404,
    NotAllowed: 405,
    Conflict: 409,
    PreconditionFailed: 412,
    TooLarge: 413,
    UnsupportedMedia: 415,
    Locked: 423,
    TooManyAttempts: 429,
    OtherServer: 502,
    OutOfSpace: 507,
    OverQuota: 507,
    Held: 503,
}
#: Preconditions whose standard asks for another status than that of the error's class.
_STATUS_BY_ELEMENT = {"{urn:ietf:params:xml:ns:carddav}supported-address-data-conversion": 406}


def status_of(error: SafeholdError) -> int:
    """The status of an error; 503 for one that is no answer to a request, for it says nothing about the data."""
    if isinstance(error, RequestError) and error.element in _STATUS_BY_ELEMENT:
        return _STATUS_BY_ELEMENT[error.element]
    return next((_STATUS[c] for c in type(error).__mro__ if c in _STATUS), 503)


def headers_of(error: SafeholdError, status: int, dice: int) -> Headers:
    """The headers that the status needs besides the body's. `dice` is a random byte, to spread the retries."""
    if status == 401:
        return [CHALLENGE]
    if status == 429:
        seconds = error.retry_after_seconds if isinstance(error, TooManyAttempts) else RETRY_AFTER_SECONDS
        return [(b"retry-after", b"%d" % seconds)]
    if status in (503, 507):
        seconds = error.retry_after_seconds if isinstance(error, Held) else RETRY_AFTER_SECONDS
        return [(b"retry-after", b"%d" % jittered(seconds, dice))]
    return []


def jittered(seconds: int, dice: int) -> int:
    """Seconds ± 25 %, by a random byte: devices that were refused together do not come back together."""
    return max(1, round(seconds * (0.75 + 0.5 * (dice & 0xFF) / 255)))


def told(error: SafeholdError) -> tuple[str, str]:
    """Message and hint of an error for whoever sent the request: what concerns the operator names places of theirs."""
    if isinstance(error, OutOfSpace):
        return "there is no room for this on the server now", "nothing is lost; try again later"
    if isinstance(error, OperatorError | Damaged):
        return "the server cannot do this now", "nothing is lost; try again later: the operator's log says why"
    return error.message, error.hint


def error_body(error: SafeholdError, account: str = "", request: str = "") -> bytes:
    """The DAV:error document. `account` completes an href that is a path under the account."""
    inner = ""
    if isinstance(error, RequestError) and error.element:
        href = error.href
        if href and not href.startswith("/"):
            href = user_href(account) + quote_path(href)
        inner = element(error.element, f"<D:href>{escape(href)}</D:href>") if href else empty(error.element)
    elif isinstance(error, BadToken):
        inner = empty(VALID_SYNC_TOKEN)
    elif isinstance(error, OutOfSpace):
        inner = empty(DAV + "sufficient-disk-space")  # RFC 4331 section 6
    return document(inner, *told(error), request=request)


def document(inner: str, message: str, hint: str = "", *, request: str = "") -> bytes:
    """A DAV:error document around elements of a standard, with a sentence for people, and the request's id."""
    said = f"<E:message>{escape(message)}</E:message>"
    if hint:
        said += f"<E:hint>{escape(hint)}</E:hint>"
    if request:
        said += f"<E:request>{escape(request)}</E:request>"
    return (
        f'{XML_DECLARATION}<D:error xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"'
        f' xmlns:A="urn:ietf:params:xml:ns:carddav" xmlns:S="http://calendarserver.org/ns/"'
        f' xmlns:E="urn:safehold:error">{inner}{said}</D:error>'
    ).encode()
