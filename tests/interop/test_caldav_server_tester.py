"""A checker of CalDAV servers by the author of Python's caldav library, on the served program.

It makes calendars, stores odd objects, asks many queries and tells of each feature how well it is supported.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

from caldav_server_tester import checks

from tests.interop.conftest import Running
from tests.support.home import Home
from tests.support.service import ROOT

#: What it does not call fully supported, with what it says instead. The reasons are in the decision record.
OTHERWISE = {
    "create-calendar.auto": "unsupported",
    "principal-search": "ungraceful",
    "principal-search.by-name.self": "ungraceful",
    "principal-search.list-all": "ungraceful",
    "scheduling": "unsupported",
    "search.text.comp-type-optional": "unsupported",
    "search.time-range.comp-type-optional": "unsupported",
    "url.encode-at.identity": "unsupported",
    "well-known": "unsupported",
}
RECORD = ROOT / "docs" / "decisions" / "0033-what-a-checker-of-servers-says.md"


def its_features() -> set[str]:
    """Every feature that one of its checks declares."""
    classes = (found for _, found in inspect.getmembers(checks, inspect.isclass))
    return set().union(*(getattr(found, "features_to_be_checked", set()) for found in classes))


def test_every_feature_is_supported_or_its_reason_is_on_record(running: Running, tmp_path: Path) -> None:
    # An @ in the name, because addresses are what it asks about; 127.1, because of 127.0.0.1 it asks less.
    person = running.with_account("ada@example.org", "checked-1")
    where = ("--caldav-url", f"http://127.1:{person.service.port}/")
    who = ("--caldav-username", person.user, "--caldav-password", person.password)
    said = Home(tmp_path).run("caldav-server-tester", *where, *who, "--format", "hints", errors=False)
    told = {name: found.get("support", "full") for name, found in ast.literal_eval(said).items()}

    assert {name: support for name, support in told.items() if support != "full"} == OTHERWISE
    untold = its_features() - told.keys()
    assert all(name.startswith(tuple(f"{above}." for above in OTHERWISE)) for name in untold), untold
    _, folders = person.client().listing(f"/dav/{person.user}/calendars/")
    assert set(folders) == {"default", "tasks", "notes"}, "it cleans up, and what it deletes is gone"


def test_the_record_names_them() -> None:
    record = RECORD.read_text(encoding="utf-8")
    assert [name for name in OTHERWISE if f"| `{name}` |" not in record] == []
