"""PROPFIND and PROPPATCH over a real core."""

from __future__ import annotations

from typing import Any

import pytest
from lxml import etree

from safehold.model.commands import DeleteItem
from safehold.model.kinds import DATA_KINDS
from safehold.protocol.properties import MAX_VALUE_BYTES
from tests.support.asgi import DECLARED, Answer, Device, q, tag_of, vcard

BOOK = "/dav/anna/contacts/default/"
CALENDAR = "/dav/anna/calendars/default/"
NOTES = "/dav/anna/files/notes/"
REMOVE_X = "<D:remove><D:prop><x/></D:prop></D:remove>"


def test_a_listing_has_every_item_with_tag_and_type(device: Device) -> None:
    bodies = {name: vcard(name) for name in ("b.vcf", "a b&c.vcf", "é.vcf")}
    for name, body in bodies.items():
        path = BOOK + "".join(c if c.isalnum() or c == "." else "".join(f"%{b:02X}" for b in c.encode()) for c in name)
        assert device.put(path, body).status == 201
    answer = device.propfind(BOOK, "D:getetag", "D:getcontenttype", "D:resourcetype", "D:getcontentlength", depth="1")
    hrefs = [BOOK, BOOK + "a%20b%26c.vcf", BOOK + "b.vcf", BOOK + "%C3%A9.vcf"]
    assert [r["href"] for r in answer.listed] == hrefs
    assert set(answer.responses[BOOK][404]) == {"D:getetag", "D:getcontenttype", "D:getcontentlength"}
    assert answer.text(hrefs[2], "D:getetag") == tag_of(bodies["b.vcf"])
    assert answer.text(hrefs[1], "D:getcontenttype") == "text/vcard"
    assert answer.text(hrefs[3], "D:getcontentlength") == str(len(bodies["é.vcf"]))
    assert len(answer.responses[hrefs[1]][200]["D:resourcetype"]) == 0


def test_the_forms_of_propfind(device: Device) -> None:
    device.put(BOOK + "a.vcf", vcard("a"))
    everything = device.ask("PROPFIND", BOOK + "a.vcf", b"", {"Depth": "0"})
    assert {"D:getetag", "D:resourcetype", "D:creationdate"} <= set(everything.responses[BOOK + "a.vcf"][200])
    names = device.ask("PROPFIND", BOOK, f"<D:propfind {DECLARED}><D:propname/></D:propfind>", {"Depth": "1"})
    assert {"D:sync-token", "S:getctag"} <= set(names.responses[BOOK][200])
    assert "D:getetag" in names.responses[BOOK + "a.vcf"][200]
    include = f"<D:propfind {DECLARED}><D:allprop/><D:include><D:sync-token/></D:include></D:propfind>"
    assert "D:sync-token" in device.ask("PROPFIND", BOOK, include, {"Depth": "0"}).responses[BOOK][200]
    data = device.propfind(BOOK + "a.vcf", "A:address-data", "D:getetag")
    assert set(data.responses[BOOK + "a.vcf"][404]) == {"A:address-data"}


def test_minimal_answers_leave_out_what_is_not_there(device: Device) -> None:
    device.put(BOOK + "a.vcf", vcard("a"))
    answer = device.propfind(BOOK, "D:getetag", "S:first-name", depth="1", Prefer="return=minimal")
    assert answer.headers["preference-applied"] == "return=minimal"
    assert all(404 not in r for r in answer.listed)
    assert answer.responses[BOOK][200] == {}


@pytest.mark.parametrize("depth", [None, "infinity"])
@pytest.mark.parametrize("path", ["/dav/", "/dav/anna/", BOOK, NOTES])
def test_whole_trees_are_refused(device: Device, depth: str | None, path: str) -> None:
    answer = device.ask("PROPFIND", path, b"", {"Depth": depth} if depth else {})
    assert (answer.status, answer.error) == (403, "D:propfind-finite-depth")


def test_an_item_has_no_depth(device: Device) -> None:
    device.put(BOOK + "a.vcf", vcard("a"))
    for headers in ({}, {"Depth": "infinity"}, {"Depth": "1"}):
        assert len(device.ask("PROPFIND", BOOK + "a.vcf", b"", headers).listed) == 1


@pytest.mark.parametrize("depth", ["2", "-1", "x", "", "0, 1"])
def test_absurd_depths(device: Device, depth: str) -> None:
    assert device.ask("PROPFIND", BOOK, b"", {"Depth": depth}).status == 400


def test_absent_and_unsure(device: Device) -> None:
    paths = (BOOK + "none.vcf", "/dav/anna/contacts/none/", CALENDAR + "x.ics", "/dav/anna/calendars/none", NOTES + "x")
    assert [device.propfind(p).status for p in paths] == [404] * 5
    account = device.gate.reads.account_named("anna")
    for kind in DATA_KINDS:
        device.gate.hold(account, kind, "revisions are missing")
    for path in (*paths, BOOK, CALENDAR, NOTES):
        for method in ("PROPFIND", "GET", "REPORT", "PROPPATCH", "DELETE", "MKCOL"):
            if method == "DELETE" and path == NOTES:
                continue  # refused whatever the state
            body = {
                "REPORT": f"<D:sync-collection {DECLARED}/>",
                "PROPPATCH": f"<D:propertyupdate {DECLARED}>{REMOVE_X}</D:propertyupdate>",
            }.get(method, "")
            answer = device.ask(method, path, body, {"Depth": "0"} if method == "PROPFIND" else {})
            if method == "DELETE" and path.endswith((".vcf", ".ics")):
                assert answer.status == 204  # it waits until it can be judged
            elif method == "MKCOL" and path in (BOOK, CALENDAR, NOTES):
                assert answer.status == 405
            elif method == "MKCOL" and "/files/" not in path:
                assert answer.status in (403, 503)
            else:
                assert (method, path, answer.status) == (method, path, 503)
    assert [device.propfind(p).status for p in ("/dav/", "/dav/anna/contacts/")] == [207, 207]


def test_folders_list_folders_and_files(device: Device) -> None:
    assert device.ask("MKCOL", NOTES + "a").status == 201
    assert device.ask("MKCOL", NOTES + "a/b/").status == 201
    assert device.put(NOTES + "x.txt", b"x", "text/plain").status == 201
    assert device.put(NOTES + "a/b/y.txt", b"y", "text/plain").status == 201
    assert [r["href"] for r in device.propfind(NOTES, depth="1").listed] == [NOTES, NOTES + "a/", NOTES + "x.txt"]
    for path in (NOTES + "a/b", NOTES + "a/b/"):
        assert [r["href"] for r in device.propfind(path, depth="1").listed] == [NOTES + "a/b/", NOTES + "a/b/y.txt"]


def test_a_large_listing_is_made_off_the_loop_and_sent_in_pieces(device: Device) -> None:
    for n in range(1100):
        device.put(f"{NOTES}{n:04}", b"%d" % n, "text/plain")
    before = device.gate.in_threads
    answer = device.propfind(NOTES, "D:getetag", depth="1")
    assert device.gate.in_threads == before + 1
    assert len(answer.listed) == 1101
    assert len(answer.pieces) > 2
    assert answer.text(NOTES + "1099", "D:getetag") == tag_of(b"1099")


# -- properties of items, which may be large -----------------------------------------------------------------

LARGE = [f'<x:y{n} xmlns:x="urn:x">{"z" * 60_000}</x:y{n}>' for n in range(4)]
WANTED = "<D:getetag/>" + "".join(f'<x:y{n} xmlns:x="urn:x"/>' for n in range(4))


def with_large_properties(device: Device, count: int) -> None:
    """Cards, of which every other has 240 kB of properties."""
    for n in range(2 * count):
        device.put(f"{BOOK}{n:02}.vcf", vcard(f"u{n}"))
        if n % 2:
            assert (
                device.proppatch(f"{BOOK}{n:02}.vcf", f"<D:set><D:prop>{''.join(LARGE)}</D:prop></D:set>").status == 207
            )


def ask_for_all(device: Device, way: str) -> Answer:
    wanted = f"<D:prop>{WANTED}</D:prop>"
    if way == "propfind":
        body = f"<D:propfind {DECLARED}>{wanted}</D:propfind>"
        return device.ask("PROPFIND", BOOK, body, {"Depth": "1", "Prefer": "depth-noroot"})
    if way == "sync":
        return device.sync(BOOK, prop=WANTED)
    body = f"<A:addressbook-query {DECLARED}>{wanted}<A:filter/></A:addressbook-query>"
    return device.ask("REPORT", BOOK, body, {"Depth": "1"})


@pytest.mark.parametrize("way", ["propfind", "sync", "query"])
def test_large_properties_are_told_a_few_at_a_time(device: Device, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_large_properties(device, 20)
    in_thread, jobs = device.gate.in_thread, []

    async def counted(work: Any) -> Any:
        before = reads
        made = await in_thread(work)
        jobs.append(reads - before)
        return made

    reads = 0
    props = type(device.gate.reads).props

    def counting(self: Any, item: Any) -> dict[str, str]:
        nonlocal reads
        reads += 1
        return props(self, item)

    monkeypatch.setattr(type(device.gate.reads), "props", counting)
    monkeypatch.setattr(device.gate, "in_thread", counted)
    answer = ask_for_all(device, way)
    assert sorted(r["href"] for r in answer.listed) == [f"{BOOK}{n:02}.vcf" for n in range(40)]
    for n in range(40):
        told = answer.responses[f"{BOOK}{n:02}.vcf"][200]
        assert ("{urn:x}y3" in told) == bool(n % 2)
    assert sum(jobs) == reads == 20  # none of them on the event loop
    assert max(jobs) <= 6
    assert max(map(len, answer.pieces)) < 1_500_000
    if way == "propfind":
        assert "depth-noroot" in answer.headers["preference-applied"]
    if way == "sync":
        assert device.sync(BOOK, answer.token).listed == []


def test_an_item_that_goes_while_a_listing_is_under_way_is_told_as_gone(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_large_properties(device, 8)
    in_thread, jobs = device.gate.in_thread, 0

    async def meddled(work: Any) -> Any:
        nonlocal jobs
        jobs += 1
        made = await in_thread(work)
        if jobs == 1:
            account = device.gate.reads.account_named("anna")
            assert account is not None
            await device.gate.execute(DeleteItem(account=account.id, path="contacts/default", name="15.vcf"))
        return made

    monkeypatch.setattr(device.gate, "in_thread", meddled)
    answer = ask_for_all(device, "propfind")
    assert jobs > 1
    assert {r["href"][-6:]: r["status"] for r in answer.listed if r["status"]} == {"15.vcf": 404}
    assert len(answer.listed) == 16


# -- PROPPATCH -----------------------------------------------------------------------------------------------

VALUES = [
    "<D:displayname>Friends &amp; family</D:displayname>",
    '<I:calendar-color xmlns:I="http://apple.com/ns/ical/" symbolic-color="red">#FF0000FF</I:calendar-color>',
    '<x:y xmlns:x="urn:x" x:a="1"><x:z xmlns="urn:inner"><deep/>text &lt; more</x:z> tail</x:y>',
    '<plain xmlns="">no namespace</plain>',
    '<C:calendar-description xml:lang="fr">été 😀 &#13;&#10;</C:calendar-description>',
    "<empty xmlns='urn:empty'/>",
]


def c14n(element: etree._Element) -> bytes:
    return etree.tostring(etree.fromstring(etree.tostring(element, with_tail=False)), method="c14n", exclusive=True)


@pytest.mark.parametrize("path", [BOOK, CALENDAR, NOTES, BOOK + "a.vcf", NOTES + "n"])
def test_properties_come_back_as_they_were_set(device: Device, path: str) -> None:
    device.put(BOOK + "a.vcf", vcard("a"))
    device.put(NOTES + "n", b"n")
    answer = device.proppatch(path, f"<D:set><D:prop>{''.join(VALUES)}</D:prop></D:set>")
    [done] = answer.listed
    assert list(done) == ["href", "status", 200, "200 error", "error"]
    assert done["href"] == path
    originals = [etree.fromstring(f"<r {DECLARED}>{value}</r>")[0] for value in VALUES]
    asked = "".join(f'<{etree.QName(o).localname} xmlns="{etree.QName(o).namespace or ""}"/>' for o in originals)
    for body in (f"<D:prop>{asked}</D:prop>", "<D:allprop/>"):
        found = device.ask("PROPFIND", path, f"<D:propfind {DECLARED}>{body}</D:propfind>", {"Depth": "0"})
        values = {e.tag: c14n(e) for e in found.xml.find(f".//{q('D:prop')}")}
        for original in originals:
            assert values[original.tag] == c14n(original)
    # Seen from the collection above as well.
    above = path.rstrip("/").rpartition("/")[0] + "/"
    if "files/notes/" not in path or path != NOTES:
        listed = device.propfind(above, "D:displayname", depth="1").responses
        assert listed[path][200]["D:displayname"].text == "Friends & family"
    removed = device.proppatch(path, '<D:remove><D:prop><D:displayname/><never xmlns="urn:n"/></D:prop></D:remove>')
    assert set(removed.listed[0][200]) == {"D:displayname", "{urn:n}never"}
    assert 200 not in device.propfind(path, "D:displayname").listed[0]


def test_properties_survive_a_new_body(device: Device) -> None:
    device.put(BOOK + "a.vcf", vcard("a"))
    device.proppatch(BOOK + "a.vcf", "<D:set><D:prop><D:displayname>A</D:displayname></D:prop></D:set>")
    device.put(BOOK + "a.vcf", vcard("a", "B"))
    assert device.propfind(BOOK + "a.vcf", "D:displayname").text(BOOK + "a.vcf", "D:displayname") == "A"


def test_document_order_decides(device: Device) -> None:
    set_, remove = "<D:set><D:prop><x>{}</x></D:prop></D:set>", "<D:remove><D:prop><x/></D:prop></D:remove>"
    device.proppatch(BOOK, set_.format(1) + remove + set_.format(2))
    body = f"<D:propfind {DECLARED}><D:prop><x/></D:prop></D:propfind>"
    assert device.ask("PROPFIND", BOOK, body, {"Depth": "0"}).listed[0][200]["x"].text == "2"
    device.proppatch(BOOK, set_.format(1) + remove)
    assert "x" in device.ask("PROPFIND", BOOK, body, {"Depth": "0"}).listed[0][404]


@pytest.mark.parametrize(
    "name", ["D:getetag", "D:resourcetype", "S:getctag", "D:sync-token", "A:supported-address-data"]
)
def test_a_protected_property_fails_the_whole(device: Device, name: str) -> None:
    answer = device.proppatch(BOOK, f"<D:set><D:prop><D:displayname>no</D:displayname><{name}/></D:prop></D:set>")
    [response] = answer.listed
    assert set(response[403]) == {name}
    assert response["403 error"] == ["D:cannot-modify-protected-property"]
    assert set(response[424]) == {"D:displayname"}
    assert "no" not in device.propfind(BOOK).body.decode()


@pytest.mark.parametrize("path", ["/dav/", "/dav/principals/", "/dav/anna/", "/dav/principals/anna/"])
def test_nothing_can_be_set_on_fixed_places(device: Device, path: str) -> None:
    [response] = device.proppatch(path, "<D:set><D:prop><D:displayname>x</D:displayname></D:prop></D:set>").listed
    assert set(response[403]) == {"D:displayname"}
    assert response["href"] == path


def test_values_that_are_refused(device: Device) -> None:
    zone = "<D:set><D:prop><C:calendar-timezone>nonsense</C:calendar-timezone></D:prop></D:set>"
    assert device.proppatch(CALENDAR, zone).listed[0]["403 error"] == ["C:valid-calendar-data"]
    huge = f"<D:set><D:prop><x>{'x' * MAX_VALUE_BYTES}</x></D:prop></D:set>"
    assert set(device.proppatch(CALENDAR, huge).listed[0][507]) == {"x"}
    most = "y" * (MAX_VALUE_BYTES - 100)
    many = "".join(f"<D:set><D:prop><x{n}>{most}</x{n}></D:prop></D:set>" for n in range(5))
    assert len(device.proppatch(CALENDAR, many).listed[0][507]) == 5
    for body in ("", "<", f"<D:propertyupdate {DECLARED}/>", "<x/>"):
        assert device.ask("PROPPATCH", CALENDAR, body).status == 400
