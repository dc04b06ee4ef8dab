"""What clients do not bear in an answer, whatever was asked: each rule names who it is that breaks on it.

A rule yields a sentence for each thing that is wrong. `judged` applies all of them, and what the row itself expects.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import unquote

from tests.support.sequences import (
    DAV,
    Answer,
    Expected,
    Multistatus,
    Request,
    Response,
    Row,
    filled,
    read_multistatus,
    spoken,
)

Problems = Iterator[str]

_STRONG_TAG = re.compile(r'"[!#-~]+"').fullmatch
_STATUS_LINE = re.compile(r"HTTP/1\.1 [1-5][0-9][0-9] [A-Z][A-Za-z -]+").fullmatch
# RFC 3986: a path of pchar, with upper-case hexadecimal digits as everybody who makes a path anew writes them.
_PATH = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})*)+").fullmatch
_RETRY_AFTER = re.compile(r"[1-9][0-9]*").fullmatch
_GETETAG = DAV + "getetag"
_DATA = ("{urn:ietf:params:xml:ns:caldav}calendar-data", "{urn:ietf:params:xml:ns:carddav}address-data")
_MAKING = ("MKCOL", "MKCALENDAR", "DELETE")


def judged(
    row: Row, request: Request, answer: Answer, variables: Mapping[str, str], items: Mapping[str, bytes]
) -> list[str]:
    """What is wrong with an answer: by the row, and by what no client bears."""
    problems: list[str] = []
    if answer.status not in row.expect:
        return [f"{answer.status} instead of {row.expect}: {answer.body[:400]!r}"]
    problems += _headers(row, request, answer, variables)
    if answer.status >= 400:
        problems += _error_body(row, request, answer)
    if answer.status == 207:
        try:
            told = read_multistatus(answer.body)
        except (ET.ParseError, ValueError) as error:
            return [*problems, f"no multistatus: {error}"]
        for rule in MULTISTATUS_RULES:
            problems += rule(request, answer, told)
        problems += _answers(row, answer, told, variables, items)
    if row.equals and answer.body != items[row.equals]:
        problems.append(f"the body is not that of {row.equals}")
    return problems


# -- headers -------------------------------------------------------------------------------------------------


def _headers(row: Row, request: Request, answer: Answer, variables: Mapping[str, str]) -> Problems:
    for rule in HEADER_RULES:
        yield from rule(request, answer)
    for hop in answer.hops:
        yield from redirects_stay_here(request, hop)
    for name, wanted in row.header.items():
        got = answer.header(name)
        wanted = filled(wanted, variables)
        if wanted.startswith("with "):
            absent = [word for word in wanted[5:].split(", ") if word not in re.split(r",\s*", got)]
            if absent:
                yield f"{name}: {got!r} lacks {absent}"
        elif got != wanted:
            yield f"{name}: {got!r} instead of {wanted!r}"


def redirects_stay_here(request: Request, answer: Answer) -> Problems:
    """dav4jvm refuses a redirect from https to http, and so do Apple's; one to a path leaves the scheme alone."""
    if answer.status in (301, 302, 303, 307, 308):
        location = answer.header("location")
        if not location.startswith("/") or location.startswith("//"):
            yield f"Location: {location!r} is more than a path"


def multistatus_is_said_to_be_xml(request: Request, answer: Answer) -> Problems:
    """dav4jvm takes a 207 for one only where its type is application/xml or text/xml."""
    media = answer.header("content-type").partition(";")[0].strip()
    if answer.status == 207 and media not in ("application/xml", "text/xml"):
        yield f"a 207 of type {media!r}"


def making_and_removing_succeed_plainly(request: Request, answer: Answer) -> Problems:
    """dav4jvm takes a 207 to MKCOL, MKCALENDAR and DELETE for a failure; Thunderbird's calendars take 200 and 204."""
    if request.method in _MAKING and answer.status in (202, 207):
        yield f"{answer.status} to {request.method}"


def a_stored_item_has_its_tag(request: Request, answer: Answer) -> Problems:
    """Without a strong ETag DAVx5 and Apple's Contacts fetch what they have just sent; a weak one fails If-Match.

    201 says that it is new, 204 that it is not: the simulator of Apple's clients takes nothing else. Of a Location
    Evolution keeps the last segment only, and then does not find the item again.
    """
    if request.method == "PUT" and answer.status < 300:
        if answer.status not in (201, 204):
            yield f"{answer.status} to a PUT"
        if not _STRONG_TAG(answer.header("etag")):
            yield f"ETag: {answer.header('etag')!r}"
        if answer.header("location"):
            yield f"Location: {answer.header('location')!r}"


def tags_are_quoted(request: Request, answer: Answer) -> Problems:
    """An unquoted ETag comes back in quotes in If-Match (dav4jvm) and then matches nothing."""
    if answer.header("etag") and not _STRONG_TAG(answer.header("etag")):
        yield f"ETag: {answer.header('etag')!r}"


def headers_come_once(request: Request, answer: Answer) -> Problems:
    """Which of two is taken differs from client to client."""
    names = [name for name, _ in answer.headers]
    for name in ("etag", "dav", "allow", "location", "content-type", "retry-after"):
        if names.count(name) > 1:
            yield f"{name} comes {names.count(name)} times"


def features_begin_with_a_class(request: Request, answer: Answer) -> Problems:
    """Thunderbird's calendars read the number before the first comma of DAV, and drop that entry."""
    features = answer.header("dav")
    if request.method == "OPTIONS" and answer.status == 200 and not re.match(r"[123], ", features):
        yield f"DAV: {features!r}"


def who_is_to_wait_hears_how_long(request: Request, answer: Answer) -> Problems:
    """DAVx5 waits as long as Retry-After says, between a minute and two hours; a quarter of an hour without it."""
    if answer.status == 503 and not _RETRY_AFTER(answer.header("retry-after")):
        yield f"Retry-After: {answer.header('retry-after')!r}"


def who_is_to_sign_in_hears_how(request: Request, answer: Answer) -> Problems:
    """Apple's clients ask without credentials first, and sign in only where they are asked to."""
    if answer.status == 401 and not re.match(r'Basic realm="[^"]+"', answer.header("www-authenticate")):
        yield f"WWW-Authenticate: {answer.header('www-authenticate')!r}"


HEADER_RULES: tuple[Callable[[Request, Answer], Problems], ...] = (
    redirects_stay_here,
    multistatus_is_said_to_be_xml,
    making_and_removing_succeed_plainly,
    a_stored_item_has_its_tag,
    tags_are_quoted,
    headers_come_once,
    features_begin_with_a_class,
    who_is_to_wait_hears_how_long,
    who_is_to_sign_in_hears_how,
)


def _error_body(row: Row, request: Request, answer: Answer) -> Problems:
    """DAVx5 read the text of a 412 as XML and broke; it looks for valid-sync-token within DAV:error of any status."""
    if request.method == "HEAD":
        return
    try:
        root = ET.fromstring(answer.body)
    except ET.ParseError as error:
        yield f"the body of the error is no XML: {error}"
        return
    if root.tag != DAV + "error":
        yield f"the body of the error is {root.tag}"
    elif row.error and root.find(row.error) is None:
        yield f"the error does not say {spoken(row.error)} but {[spoken(e.tag) for e in root]}"


# -- multistatus ---------------------------------------------------------------------------------------------


def hrefs_are_absolute_paths(request: Request, answer: Answer, told: Multistatus) -> Problems:
    """Thunderbird's address books compare hrefs as text, and its calendars count the segments of the path."""
    for response in told.responses:
        if not _PATH(response.href) or "//" in response.href:
            yield f"href {response.href!r}"


def collections_end_with_a_slash(request: Request, answer: Answer, told: Multistatus) -> Problems:
    """What DAVx5 and Apple's clients take for the URL of a collection, they append names of items to."""
    for response in told.responses:
        types = response.found.get(DAV + "resourcetype")
        if types is not None and (types.find(DAV + "collection") is not None) != response.href.endswith("/"):
            yield f"href {response.href!r} of {[spoken(t.tag) for t in types]}"


def depth_nought_answers_for_what_was_asked(request: Request, answer: Answer, told: Multistatus) -> Problems:
    """The simulator of Apple's clients looks the answer up under the very path that it asked for."""
    if request.method == "PROPFIND" and request.headers.get("Depth") == "0":
        hrefs = [response.href for response in told.responses]
        same = [unquote(href).rstrip("/") == unquote(answer.path).rstrip("/") for href in hrefs]
        if len(hrefs) != 1 or (answer.path != "/" and not all(same)):
            yield f"{hrefs} for {answer.path}"


def hrefs_come_once(request: Request, answer: Answer, told: Multistatus) -> Problems:
    """A second response for an href takes the place of the first, or is added to it."""
    hrefs = [response.href for response in told.responses]
    for href in sorted({h for h in hrefs if hrefs.count(h) > 1}):
        yield f"{href} comes {hrefs.count(href)} times"


def multigets_answer_in_the_words_of_the_question(request: Request, answer: Answer, told: Multistatus) -> Problems:
    """The simulator of Apple's clients and Thunderbird's address books find an item by the href as they sent it."""
    if request.method == "REPORT" and b"multiget" in request.body:
        asked = [href.text for href in ET.fromstring(request.body).iter(DAV + "href")]
        if [response.href for response in told.responses] != asked:
            yield f"asked for {asked}, told of {[r.href for r in told.responses]}"


def status_lines_are_whole(request: Request, answer: Answer, told: Multistatus) -> Problems:
    """Thunderbird's address books look for `HTTP/1.1 200 OK` and `HTTP/1.1 404`, to the letter."""
    for response in told.responses:
        for line in (response.status, *(stat.status for stat in response.propstats)):
            if line and (not _STATUS_LINE(line) or (" 200" in line and line != "HTTP/1.1 200 OK")):
                yield f"status {line!r}"


def found_comes_before_missing(request: Request, answer: Answer, told: Multistatus) -> Problems:
    """Thunderbird passes over an address book whose first status is not `HTTP/1.1 200 OK`."""
    for response in told.responses:
        codes = [" 200 " not in stat.status for stat in response.propstats]
        if codes != sorted(codes):
            yield f"{response.href}: {[stat.status for stat in response.propstats]}"


def a_response_is_of_one_sort(request: Request, answer: Answer, told: Multistatus) -> Problems:
    """RFC 4918 section 14.24; dav4jvm drops all properties where the response has a bad status of its own."""
    for response in told.responses:
        if bool(response.status) == bool(response.propstats):
            yield f"{response.href} has {response.status!r} and {len(response.propstats)} propstats"


def properties_come_once(request: Request, answer: Answer, told: Multistatus) -> Problems:
    """Thunderbird's calendars put those that were found and those that were not into one map: the last one stays."""
    for response in told.responses:
        names = [p.tag for stat in response.propstats for p in stat.properties]
        for name in sorted({n for n in names if names.count(n) > 1}):
            yield f"{response.href}: {spoken(name)} comes {names.count(name)} times"


def everything_asked_is_answered(request: Request, answer: Answer, told: Multistatus) -> Problems:
    """Each property that was asked for is found or missing; who prefers brevity (RFC 8144) hears of no missing."""
    if request.method not in ("PROPFIND", "REPORT"):
        return
    asked = _asked(request.body)
    brief = "return=minimal" in request.headers.get("Prefer", "") or request.headers.get("Brief") == "t"
    for response in told.responses:
        missing = {p.tag for stat in response.propstats if " 404 " in stat.status for p in stat.properties}
        if brief and request.method == "PROPFIND" and missing:
            yield f"{response.href}: told of {sorted(map(spoken, missing))}, who asked for brevity"
        silent = asked - missing - response.found.keys()
        if response.propstats and silent and not brief:
            yield f"{response.href}: nothing is said of {sorted(map(spoken, silent))}"
        unasked = (missing | response.found.keys()) - asked
        if asked and unasked:
            yield f"{response.href}: {sorted(map(spoken, unasked))} were not asked for"


def _asked(body: bytes) -> set[str]:
    root = ET.fromstring(body)
    if root.tag == DAV + "expand-property":
        return set()
    prop = root.find(DAV + "prop")
    return {p.tag for p in prop} if prop is not None else set()


def listed_items_have_strong_tags(request: Request, answer: Answer, told: Multistatus) -> Problems:
    """dav4jvm gives up a sync, and Thunderbird's address books theirs, over one item without getetag."""
    asked = _asked(request.body) if request.method in ("PROPFIND", "REPORT") else set()
    for response in told.responses:
        tag = response.found.get(_GETETAG)
        if tag is not None and not _STRONG_TAG(tag.text or ""):
            yield f"{response.href}: getetag {tag.text!r}"
        if tag is None and _GETETAG in asked and not response.href.endswith("/") and response.propstats:
            yield f"{response.href} has no getetag"


def types_begin_plainly(request: Request, answer: Answer, told: Multistatus) -> Problems:
    """Thunderbird's calendars take an item for one by the first 13 characters of its type; parameters may follow."""
    for response in told.responses:
        told_type = response.found.get(DAV + "getcontenttype")
        wanted = {".ics": "text/calendar", ".vcf": "text/vcard"}.get(response.href[-4:], "")
        if told_type is not None and not (told_type.text or "").startswith(wanted):
            yield f"{response.href} is of type {told_type.text!r}"


MULTISTATUS_RULES: tuple[Callable[[Request, Answer, Multistatus], Problems], ...] = (
    hrefs_are_absolute_paths,
    collections_end_with_a_slash,
    depth_nought_answers_for_what_was_asked,
    hrefs_come_once,
    multigets_answer_in_the_words_of_the_question,
    status_lines_are_whole,
    found_comes_before_missing,
    a_response_is_of_one_sort,
    properties_come_once,
    everything_asked_is_answered,
    listed_items_have_strong_tags,
    types_begin_plainly,
)


# -- what the row expects ------------------------------------------------------------------------------------


def _answers(
    row: Row, answer: Answer, told: Multistatus, variables: Mapping[str, str], items: Mapping[str, bytes]
) -> Problems:
    by_href = {response.href: response for response in told.responses}
    wanted = {filled(expected.of, variables): expected for expected in row.answers}
    for href, expected in wanted.items():
        if href not in by_href:
            yield f"nothing is said of {href}, only of {sorted(by_href)}"
        else:
            yield from _one(by_href[href], expected, variables, items)
    unexpected = by_href.keys() - wanted.keys()
    if row.only and unexpected:
        yield f"{sorted(unexpected)} are none of what is expected"


def _one(response: Response, expected: Expected, variables: Mapping[str, str], items: Mapping[str, bytes]) -> Problems:
    href, found = response.href, response.found
    if expected.status is not None and f" {expected.status} " not in response.status:
        yield f"{href}: {response.status!r} instead of {expected.status}"
    for name in (*expected.found, *expected.has, *expected.text):
        if name not in found:
            yield f"{href}: {spoken(name)} is not found"
    for name in expected.missing:
        if name in found:
            yield f"{href}: {spoken(name)} is found"
    for name, inner in expected.has.items():
        within = {e.tag for e in found[name].iter()} if name in found else set()
        if name in found and not within.issuperset(inner):
            absent = sorted(map(spoken, set(inner) - within))
            yield f"{href}: {spoken(name)} lacks {absent}"
    for name, text in expected.text.items():
        got = "".join(found[name].itertext()).strip() if name in found else None
        if got is not None and got != filled(text, variables):
            yield f"{href}: {spoken(name)} is {got!r}, not {filled(text, variables)!r}"
    if expected.data:
        data = next((found[name].text or "" for name in _DATA if name in found), None)
        if data is None or data.encode() != items[expected.data]:
            yield f"{href}: the data is not that of {expected.data}"
