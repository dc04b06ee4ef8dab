"""Devices of plain WebDAV: they list their folders and fetch each file by itself.

Clients of ownCloud's and Nextcloud's sort ask for `oc:data-fingerprint` first. Where it is another one than last time
the server was recovered: nothing that is missing is deleted, and what is only here is sent again
(`discoveryphase.cpp`, `syncengine.cpp`). It is remembered once a sync has come to its end.
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

    def _pull(self, path: str, kept: Kept, send: Send) -> None:
        fingerprint = self._fingerprint(path, kept, send) if self.table.client == "Nextcloud files" else ""
        listed = self._listed(path, kept, send)
        if kept.token not in ("", fingerprint):
            self._keep_all(kept, listed)
        else:
            self._remove_missing(path, kept, listed)
        self._get(path, kept, listed, send)
        kept.token = fingerprint

    def _fingerprint(self, path: str, kept: Kept, send: Send) -> str:
        """One that is empty stands for a server that has set none yet (`discoveryphase.cpp`)."""
        request = Request("PROPFIND", href(path, folder=True), _ASK, {"Depth": "0"}, self.user)
        answer = self._need(self.ask(request, send), kept)
        return etree.fromstring(answer.body).findtext(f".//{_FINGERPRINT}") or "[empty]"

    def _keep_all(self, kept: Kept, listed: dict[str, str]) -> None:
        for name, item in kept.items.items():
            if name not in listed and not item.deleted:
                item.dirty, item.etag = True, ""

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
