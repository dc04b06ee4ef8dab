"""An S3 bucket, by requests that are signed here (s3_requests.py).

Nothing that a store answers is read further than it can be needed (decision 0095).
"""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from email.utils import parsedate_to_datetime
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakSet

from safehold.adapters.s3_requests import MAX_REFUSAL_BYTES, Response, S3Settings, SignedClient
from safehold.ports.objectstore import (
    Costs,
    Features,
    ObjectStore,
    Part,
    Put,
    Stored,
    StoreError,
    StoreFull,
    StoreUnanswered,
    Traits,
)

if TYPE_CHECKING:
    from lxml.etree import _Element

__all__ = ["S3ObjectStore", "S3Settings"]

_stores: WeakSet[S3ObjectStore] = WeakSet()
#: An upload in parts begins beyond so much, in parts of so many bytes: S3 takes 10,000 of them.
PART_BYTES = 16 * 1024 * 1024
#: Versions on a page where one key is looked for.
_FIND_KEYS = 10
_PAGE_KEYS = 1000
#: Versions of one key that are looked at, from the first on: whoever may put can heap any number on it.
_VERSIONS = 1000
#: Objects that are read at once where several are asked for.
_AT_ONCE = 8
#: How a store answers what it does not know.
_UNKNOWN = (400, 405, 501)
#: What stores answer where there is no room.
_FULL = ("507 Insufficient Storage", "QuotaExceeded", "InsufficientStorage", "StorageFull", "EntityTooLarge")


class _Version(NamedTuple):
    stored: Stored
    marker: bool
    latest: bool = False


class S3ObjectStore:
    """Implements ports.objectstore.ObjectStore."""

    def __init__(self, settings: S3Settings | Callable[[], S3Settings]) -> None:
        """Settings that have to be found first are, when something is asked for; what hinders it is a StoreError."""
        self._given = settings
        self._costs, self._traits = Costs(), Traits()
        self._features: Features | None = None
        self.begin_anew()
        _stores.add(self)

    def begin_anew(self) -> None:
        """Use no connection, thread or lock of before: for a process that was forked."""
        self._lock = threading.Lock()
        self._found: SignedClient | None = None

    @property
    def settings(self) -> S3Settings:
        return self._client.settings

    @property
    def _client(self) -> SignedClient:
        with self._lock:
            if self._found is None:
                settings = self._given() if callable(self._given) else self._given
                self._found = SignedClient(settings, self._costs)
            return self._found

    @property
    def costs(self) -> Costs:
        return self._costs

    @property
    def traits(self) -> Traits:
        return self._traits

    def features(self, *, anew: bool = False) -> Features:
        if self._features is None or anew:
            self._features = self._ask_features()
        return self._features

    def put(self, key: str, data: bytes, *, unless_there: bool = True) -> Put:
        """Sent again where no answer came: under the condition it is done once all the same."""
        checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
        headers = {"x-amz-checksum-sha256": checksum, **({"if-none-match": "*"} if unless_there else {})}
        answer = self._client.request("PUT", key, headers=headers, body=data)
        if answer.status == 412:
            return Put.UNSURE if answer.again else Put.TAKEN
        if answer.status == 409 or (not answer.good and answer.again):  # another request for it may be under way
            self._costs.failures += 1
            raise StoreUnanswered(f"a put of {key} was answered with {_reason(answer)}")
        self._require(answer, f"a put of {key}", changes=True)
        return Put.DONE

    def put_large(self, key: str, chunks: Iterable[bytes]) -> Put:
        """The parts go one after the other. Where the end has no answer, nobody knows."""
        upload = ""
        marks: list[str] = []
        try:
            for part in _parts(chunks):
                if not upload:
                    begun = self._client.request("POST", key, {"uploads": ""}, _checked(b""))
                    upload = _text(self._xml(begun, "an upload"), "UploadId")
                query = {"partNumber": str(len(marks) + 1), "uploadId": upload}
                sent = self._client.request("PUT", key, query, _checked(part), part)
                self._require(sent, "a part of an upload")
                marks.append(sent.headers.get("etag", ""))
            body = "".join(
                f"<Part><PartNumber>{number}</PartNumber><ETag>{mark.replace(chr(34), '&quot;')}</ETag></Part>"
                for number, mark in enumerate(marks, 1)
            )
            body = f"<CompleteMultipartUpload>{body}</CompleteMultipartUpload>"
            ended = self._client.request(
                "POST", key, {"uploadId": upload}, {"if-none-match": "*"}, body.encode(), again=False
            )
            taken = ended.status in (409, 412)
            if not taken:
                if b"<Error>" in ended.body:  # an error can come after a good status here
                    raise StoreUnanswered(f"the end of an upload was answered with {_reason(ended)}")
                self._require(ended, "the end of an upload")
                upload = ""
            return Put.TAKEN if taken else Put.DONE
        finally:
            if upload:
                self._forget(key, upload)

    def _forget(self, key: str, upload: str) -> None:
        """An upload that came to no end costs room: its parts go, if the credentials let them."""
        try:
            self._client.request("DELETE", key, {"uploadId": upload})
        except StoreError:
            return

    def get(self, stored: Stored, start: int = 0, stop: int | None = None) -> bytes:
        stop = stored.size if stop is None else min(stop, stored.size)
        if start >= stop:
            return b""
        query = {"versionId": stored.version} if stored.version else {}
        range_ = {"range": f"bytes={start}-{stop - 1}"}
        most_bytes = max(stop - start, MAX_REFUSAL_BYTES)
        answer = self._client.request("GET", stored.key, query, range_, most_bytes=most_bytes)
        if answer.status == 404:
            raise KeyError(stored.key)
        self._require(answer, f"a request for {stored.key}")
        if len(answer.body) != stop - start:
            raise StoreError(f"{stored.key} came with {len(answer.body)} bytes for {stop - start}")
        return answer.body

    def get_parts(self, parts: Sequence[Part]) -> Sequence[bytes]:
        if len(parts) < 2:
            return [self.get(*part) for part in parts]
        with ThreadPoolExecutor(min(_AT_ONCE, len(parts))) as pool:
            return list(pool.map(lambda part: self.get(*part), parts))

    def find(self, key: str) -> Stored | None:
        if self.features().versioned:
            return next((first for first in self._firsts(key, page_keys=_FIND_KEYS) if first.key == key), None)
        answer = self._head(key)
        if answer is None:
            return None
        moment = parsedate_to_datetime(answer.headers["last-modified"]) if "last-modified" in answer.headers else None
        size = int(answer.headers.get("content-length", "0"))
        return Stored(key, size, modified=int(moment.timestamp()) if moment is not None else 0)

    def peek(self, key: str) -> bool:
        return self._head(key) is not None

    def _head(self, key: str) -> Response | None:
        answer = self._client.request("HEAD", key)
        if answer.status == 404:
            return None
        self._require(answer, f"a look for {key}")
        return answer

    def list(self, prefix: str) -> Iterator[Stored]:
        if self.features().versioned:
            yield from self._firsts(prefix)
        else:
            yield from sorted(self._list_plain(prefix), key=lambda stored: stored.key.encode())

    def _firsts(self, prefix: str, page_keys: int = 0) -> Iterator[Stored]:
        for _, group in groupby(self._all_versions(prefix, page_keys), key=lambda version: version.stored.key):
            firsts = [version.stored for version in group if not version.marker]
            if firsts:
                yield firsts[-1]

    def folders(self, prefix: str) -> Sequence[str]:
        found: set[str] = set()
        for page in self._pages(prefix, "/"):
            for each in page.iterfind("{*}CommonPrefixes/{*}Prefix"):
                found.add((each.text or "").removeprefix(prefix).rstrip("/"))
        return sorted(found - {""})

    def versions(self, prefix: str) -> Iterator[tuple[Stored, bool]]:
        yield from ((version.stored, version.marker) for version in self._all_versions(prefix))

    def takes_wrong_checksum(self, key: str) -> bool:
        digest = base64.b64encode(hashlib.sha256(b"these").digest()).decode()
        answer = self._client.request("PUT", key, headers={"x-amz-checksum-sha256": digest}, body=b"those")
        if answer.status >= 500 or answer.status in (401, 403):
            self._require(answer, "a put with a wrong checksum")
        return answer.good

    def delete(self, stored: Stored) -> None:
        query = {"versionId": stored.version} if stored.version else {}
        answer = self._client.request("DELETE", stored.key, query)
        if answer.status != 404:
            self._require(answer, f"a removal of {stored.key}")

    # -- buckets

    def list_buckets(self) -> Sequence[str]:
        found = self._xml(self._client.request("GET", bucket=""), "a listing of buckets")
        return [each.text or "" for each in found.iterfind("{*}Buckets/{*}Bucket/{*}Name")]

    def make_bucket(self, *, versioned: bool = False, lock_days: int = 0) -> None:
        """`lock_days`: with Object Lock, and a default retention of so many days that nobody can end."""
        headers = {"x-amz-bucket-object-lock-enabled": "true"} if lock_days else {}
        self._require(self._client.request("PUT", headers=headers), "making the bucket")
        if versioned and not lock_days:
            self.set_versions(kept=True)
        if lock_days:
            self.set_lock(lock_days)
        self._features = None

    def set_versions(self, *, kept: bool) -> None:
        """Whether what is put over something, or deleted, stays as a version. For the bucket's owner."""
        status = "Enabled" if kept else "Suspended"
        body = f"<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>".encode()
        self._require(self._client.request("PUT", "", {"versioning": ""}, _checked(body), body), "versioning")
        self._features = None

    def set_lock(self, days: int) -> None:
        """Ask for a default retention: whatever is put from then on cannot be removed for so long, by anybody."""
        rule = f"<Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>{days}</Days></DefaultRetention></Rule>"
        body = (
            f"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>{rule}</ObjectLockConfiguration>"
        ).encode()
        self._require(self._client.request("PUT", "", {"object-lock": ""}, _checked(body), body), "a retention")
        self._features = None

    def _ask_features(self) -> Features:
        """A store that has no such settings keeps no versions. One that does not tell now is asked another time."""
        settings = self.settings
        versioning = self._client.request("GET", "", {"versioning": ""})
        if versioning.status == 404:
            raise StoreError(f"there is no bucket {settings.bucket} at {settings.endpoint}")
        if not versioning.good and versioning.status not in _UNKNOWN:
            raise StoreError(f"whether {settings.bucket} keeps versions is not told here: {_reason(versioning)}")
        status = _text(_parsed(versioning), "Status") if versioning.good else ""
        if status not in ("Enabled", "Suspended"):
            return Features()
        if status == "Suspended":
            return Features(versioned=True, suspended=True)
        locked = self._client.request("GET", "", {"object-lock": ""})
        if not locked.good and locked.status not in (*_UNKNOWN, 403, 404):
            raise StoreError(f"whether {settings.bucket} locks what it keeps is not told here: {_reason(locked)}")
        if not locked.good:
            return Features(versioned=True)
        path, parsed = "Rule/{*}DefaultRetention/{*}", _parsed(locked)
        days, years = int(_text(parsed, f"{path}Days") or 0), int(_text(parsed, f"{path}Years") or 0)
        return Features(True, lock_days=days + 365 * years, lock_mode=_text(parsed, f"{path}Mode"))

    # -- listings

    def _list_plain(self, prefix: str) -> Iterator[Stored]:
        for page in self._pages(prefix):
            for each in page.iterfind("{*}Contents"):
                yield _stored(each)

    def _all_versions(self, prefix: str, page_keys: int = 0) -> Iterator[_Version]:
        """By key, of each from the newest to the first, of one that was put over and over the oldest.

        SeaweedFS sorts within a page only, and keeps the versions of KEY in a folder `KEY.versions`: where a page ends
        among the longer keys that come before that, KEY, or some of its versions, are left out. They are asked for by
        that folder, which elsewhere begins no key of ours.
        """
        found: dict[str, deque[_Version]] = {}
        ends: set[str] = set()
        for page in self._pages(prefix, page_keys=page_keys):
            version = None
            for version in filter(None, map(_version, page)):
                found.setdefault(version.stored.key, deque(maxlen=_VERSIONS)).append(version)
            if version is not None and _text(page, "IsTruncated") == "true":
                ends.add(version.stored.key)
        for key in {each for end in ends for each in _left_out(end) if each.startswith(prefix)}:
            if again := deque(self._in_folder(key), maxlen=_VERSIONS):
                found[key] = again
        for key in sorted(found, key=str.encode):
            yield from _in_order(found[key])

    def _in_folder(self, key: str) -> Iterator[_Version]:
        """The versions of a key, where a store lists a folder of them; nothing elsewhere.

        Raises StoreError where there are more than a page has: the first of them is then never listed.
        """
        query = {"versions": "", "max-keys": str(_PAGE_KEYS), "prefix": f"{key}.versions"}
        page = self._xml(self._client.request("GET", "", query), "a listing")
        found = [version for version in map(_version, page) if version is not None and version.stored.key == key]
        if found and _text(page, "IsTruncated") == "true":
            raise StoreError(f"{key} was put over so often that its store does not list what was there first")
        yield from found

    def _pages(self, prefix: str, delimiter: str = "", page_keys: int = 0) -> Iterator[_Element]:
        """A page that leads nowhere ends in an error: half a listing is not taken for a whole one.

        Only the first page is as short as `page_keys` says: somebody may have put a key over and over again.
        """
        versioned = self.features().versioned
        first = {"prefix": prefix, **({"delimiter": delimiter} if delimiter else {})}
        first |= {"versions": ""} if versioned else {"list-type": "2"}
        next_ = {"max-keys": str(page_keys or _PAGE_KEYS)}
        while True:
            page = self._xml(self._client.request("GET", "", {**first, **next_}), "a listing")
            yield page
            if _text(page, "IsTruncated") != "true":
                return
            before, next_ = next_, {"max-keys": str(_PAGE_KEYS)}
            if versioned:
                next_["key-marker"] = _text(page, "NextKeyMarker")
                if marker := _text(page, "NextVersionIdMarker"):
                    next_["version-id-marker"] = marker
            else:
                next_["continuation-token"] = _text(page, "NextContinuationToken")
            if next_ == before or not all(next_.values()):
                raise StoreError("a listing leads nowhere")

    # -- answers

    def _require(self, response: Response, what: str, *, changes: bool = False) -> None:
        """`changes`: what was asked may have been done all the same where the store has an error of its own."""
        if response.good:
            return
        self._costs.failures += 1
        reason = _reason(response)
        full = response.status == 507 or any(sign in reason for sign in _FULL)
        doubt = StoreUnanswered if changes and response.status >= 500 and response.status != 501 else StoreError
        raise (StoreFull if full else doubt)(f"{what} was answered with {reason}")

    def _xml(self, response: Response, what: str) -> _Element:
        self._require(response, what)
        return _parsed(response)


def _after_fork() -> None:
    for store in list(_stores):
        store.begin_anew()


os.register_at_fork(after_in_child=_after_fork)


def _parts(chunks: Iterable[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= PART_BYTES:
            whole = b"".join(held)
            for start in range(0, size - size % PART_BYTES, PART_BYTES):
                yield whole[start : start + PART_BYTES]
            held, size = [whole[size - size % PART_BYTES :]], size % PART_BYTES
    if size:
        yield b"".join(held)


def _checked(body: bytes) -> Mapping[str, str]:
    """A bucket with Object Lock takes nothing without a checksum. Of the two that do, this one needs no more to be said
    at the beginning and the end of an upload in parts; the body's SHA-256 is signed all the same.
    """
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    return {"content-md5": base64.b64encode(digest).decode()} if body else {}


def _parsed(response: Response) -> _Element:
    from lxml import etree

    try:
        return etree.fromstring(response.body, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        raise StoreError(f"the store answered what is no XML: {error}") from None


def _text(element: _Element, path: str) -> str:
    found = element.find("{*}" + path)
    return "" if found is None else (found.text or "")


def _stored(entry: _Element) -> Stored:
    """An entry of a listing."""
    modified = _text(entry, "LastModified")
    try:
        moment = int(datetime.fromisoformat(modified).timestamp()) if modified else 0
        return Stored(_text(entry, "Key"), int(_text(entry, "Size") or 0), _text(entry, "VersionId"), moment)
    except ValueError as error:
        raise StoreError(f"a listing cannot be read: {error}") from None


def _version(entry: _Element) -> _Version | None:
    """None for what is no version in a listing of versions."""
    sort = entry.tag.rpartition("}")[2] if isinstance(entry.tag, str) else ""
    if sort not in ("Version", "DeleteMarker"):
        return None
    return _Version(_stored(entry), sort == "DeleteMarker", _text(entry, "IsLatest") == "true")


def _left_out(end: str) -> list[str]:
    """The keys that such a page's end, which is a longer one, may leave out."""
    return [end[:place] for place in range(1, len(end)) if end[place] < "."]


def _in_order(versions: Iterable[_Version]) -> Iterator[_Version]:
    """Those of one key from the newest to the first. Some stores list last what was put while none were kept."""
    held: _Version | None = None  # the last but for that one
    null: _Version | None = None
    for version in versions:
        if version.stored.version == "null":
            null = version
            continue
        if held is not None:
            yield held
        held = version
    if null is not None and held is not None and (null.latest or null.stored.modified > held.stored.modified):
        null, held = held, null
    yield from (version for version in (held, null) if version is not None)


def _reason(response: Response) -> str:
    """The status, and the store's own word for it."""
    text = response.body[:2000].decode("utf-8", "replace")
    words = [text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0] for tag in ("Code", "Message")]
    return " ".join((str(response.status), *(word for word in words if word)))


_: type[ObjectStore] = S3ObjectStore
