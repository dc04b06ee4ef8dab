"""Devices of plain WebDAV: they list their folders and fetch each file by itself.

Clients of ownCloud's and Nextcloud's sort ask for `oc:data-fingerprint` first. Where it is another one than last time
the server was recovered: nothing that is missing is deleted, and what is only here is sent again
(`discovery.cpp`, `dataFingerprintChanged`; owncloud/client `src/libsync/syncengine.cpp`).
"""

from __future__ import annotations

from lxml import etree

from safehold.lab.clients.client import Client, Kept, Local, Stopped
from safehold.lab.clients.tables import Do
from safehold.lab.wire import Request, Send, href, propfind, read_multistatus

_FINGERPRINT = "{http://owncloud.org/ns}data-fingerprint"
_ASK = (
    b'<D:propfind xmlns:D="DAV:" xmlns:O="http://owncloud.org/ns"><D:prop><O:data-fingerprint/></D:prop></D:propfind>'
)


class FileClient(Client):
    """Follows a table whose kind is `folder`. Folders within the two roots are left to other devices."""

    fingerprint: str | None = None

    def _pull(self, path: str, kept: Kept, send: Send) -> None:
        if self.table.client == "Nextcloud files" and self._was_recovered(path, kept, send):
            self._keep_all(path, kept, send)
            return
        listed = self._listed(path, kept, send)
        self._remove_missing(path, kept, listed)
        self._get(path, kept, listed, send)

    def _was_recovered(self, path: str, kept: Kept, send: Send) -> bool:
        request = Request("PROPFIND", href(path, folder=True), _ASK, {"Depth": "0"}, self.user)
        answer = self._need(self.ask(request, send), kept)
        now = etree.fromstring(answer.body).findtext(f".//{_FINGERPRINT}") or ""
        before = kept.token or now
        kept.token = now
        return before != now

    def _keep_all(self, path: str, kept: Kept, send: Send) -> None:
        listed = self._listed(path, kept, send)
        for name, item in kept.items.items():
            if name not in listed and not item.deleted:
                item.dirty, item.etag = True, ""
        self._get(path, kept, listed, send)

    def _listed(self, path: str, kept: Kept, send: Send) -> dict[str, str]:
        found = read_multistatus(self._need(self.ask(propfind(self.user, path, 1), send), kept))
        return {line.name: line.etag for line in found.lines if not line.is_collection}

    def _get(self, path: str, kept: Kept, listed: dict[str, str], send: Send) -> None:
        for name, etag in listed.items():
            mine = kept.items.get(name)
            if mine is not None and (mine.etag == etag or mine.dirty or mine.deleted):
                continue
            answer = self.ask(Request("GET", href(f"{path}/{name}"), user=self.user), send)
            if answer.status == 200:
                kept.items[name] = Local(answer.body, answer.headers["etag"])
            elif self.table.gone_in_multiget.do is Do.ABORT:
                raise Stopped
