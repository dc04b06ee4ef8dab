"""Vaults at a vault server, over TLS and, as behind a proxy, without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.support.vault_http import HttpServer
from tests.support.vault_kinds import Open, VaultKind


@contextmanager
def at_a_server(root: Path, *, tls: bool) -> Iterator[Open]:
    server = HttpServer(root / "server", tls=tls)
    server.start()
    guest = server.invite("v")
    try:
        yield lambda: server.vault(guest)
    finally:
        server.stop()


KINDS: tuple[VaultKind, ...] = (
    VaultKind("vault server", partial(at_a_server, tls=True), large_bytes=5_000_000, many_objects=1_050),
    VaultKind("vault server without TLS", partial(at_a_server, tls=False), marks=(pytest.mark.long,)),
)
