"""Failure domains: what lies together, who may overwrite what, and what that puts at risk, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from safehold.adapters.places import Place, cause_word, host_name, look_at_place, place_from, place_of_store
from safehold.assembly.probing import ENFORCED, is_elsewhere
from safehold.assembly.site import Site
from safehold.assembly.vault_urls import AnyVault, s3_store
from safehold.config import VaultConfig, is_loopback
from safehold.model.errors import SafeholdError
from safehold.ports.objectstore import StoreError
from safehold.vault.remote import RemoteVault
from safehold.vault.s3 import S3Vault

CORE, KEYS = "the core", "the keys"
#: How a cause is told: its first word, in adapters/places.py, to the words before its name.
_CAUSES = {
    "disk": "lie on one disk",
    "server": "lie on one server",
    "pool": "lie in one pool",
    "array": "lie on one array",
    "device": "lie on one device",
}
_ALL = {2: "both", 3: "all three", 4: "all four", 5: "all five", 6: "all six"}


class Part(NamedTuple):
    """Something that can be lost: the core, the keys, a vault. `place` None: not known."""

    name: str
    place: Place | None


def vault_place(site: Site, config: VaultConfig, vault: AnyVault) -> Place | None:
    """Where a vault lies; of a keeper's what it says itself. May hang."""
    with suppress(OSError, SafeholdError, StoreError):
        if isinstance(vault, RemoteVault):
            about = vault.about()
            return _place_at_server(site, config, about) if config.is_server else place_from(about.get("place"))
        if isinstance(vault, S3Vault):
            return place_of_store(s3_store(config, site.data).settings.endpoint)
        return look_at_place(str(config.place(site.data)))
    return None


def _place_at_server(site: Site, config: VaultConfig, about: Mapping[str, Any]) -> Place:
    """By what it fails with, of which only what lies here, too, is recognised; elsewhere it is that server."""
    said = about.get("causes")
    words = [word for word in said if isinstance(word, str)] if isinstance(said, list) else []
    places = [part.place for part in own_parts(site) if part.place is not None]
    for other in site.config.vaults:
        with suppress(OSError):
            places += [look_at_place(str(other.place(site.data)))] if other.is_folder else []
    known = {cause_word(cause): cause for place in places for cause in place.fails_with}
    if not is_elsewhere(about):
        return Place("", "", host_name(), frozenset(known.get(word, word) for word in words))
    parts = urlsplit(config.url)
    host = parts.netloc if is_loopback(config.url) else parts.hostname or parts.netloc
    shared = {known[word] for word in words if word in known and word.startswith("server ")}
    return Place("", "", host, frozenset((f"server {host}", *shared, *(word for word in words if word == "memory"))))


def own_parts(site: Site) -> list[Part]:
    """The core and the keys that lie here. May hang."""
    parts = []
    for name, folder in ((CORE, site.core_path.parent), (KEYS, site.keys_folder)):
        with suppress(OSError):
            parts.append(Part(name, look_at_place(str(folder))))
    return parts


def domain_risks(vaults: Sequence[Part], own: Sequence[Part], append_only: Mapping[str, str | None]) -> list[str]:
    """What would be lost together, one sentence each."""
    return [*_shared(vaults, own), *_in_memory(vaults), *_one_machine(vaults, own), *_one_user(vaults, append_only)]


def _shared(vaults: Sequence[Part], own: Sequence[Part]) -> Iterator[str]:
    """Of each cause that takes a vault and something else. Causes that take the same are told once."""
    told: set[tuple[str, ...]] = set()
    parts = [*vaults, *own]
    for cause, host in sorted({c for part in vaults if part.place for c in _causes(part.place)}):
        sort, _, name = cause.partition(" ")
        together = tuple(part.name for part in parts if part.place and (cause, host) in _causes(part.place))
        if sort not in _CAUSES or len(together) < 2 or together in told:
            continue
        told.add(together)
        takes = _ALL.get(len(together), "them all")
        yield f"{_listed(together)} {_CAUSES[sort]} ({name}): one failure takes {takes}"


def _causes(place: Place) -> set[tuple[str, str]]:
    """What a place fails with, and the machine that it is in: a file server is the same from all of them."""
    return {(cause, "" if cause.startswith("server ") else place.host) for cause in place.fails_with}


def _in_memory(vaults: Sequence[Part]) -> Iterator[str]:
    for part in vaults:
        if part.place is not None and "memory" in part.place.fails_with:
            yield f"the vault {part.name} lies in memory: a restart of the machine takes it"


def _one_machine(vaults: Sequence[Part], own: Sequence[Part]) -> Iterator[str]:
    hosts = {part.place.host for part in (*vaults, *own) if part.place is not None}
    elsewhere = any(c.startswith("server ") for part in vaults if part.place for c in part.place.fails_with)
    if vaults and len(hosts) == 1 and not elsewhere and all(part.place for part in vaults):
        yield f"the core and every vault are in one machine ({hosts.pop()}): its loss takes them all"


def _one_user(vaults: Sequence[Part], append_only: Mapping[str, str | None]) -> Iterator[str]:
    known = [append_only.get(part.name) for part in vaults]
    if vaults and all(found is not None and found != ENFORCED for found in known):
        names = _listed([part.name for part in vaults])
        yield (
            f"the user that the service runs as may overwrite {names}: whoever takes over the service can take "
            "every vault with it"
        )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
