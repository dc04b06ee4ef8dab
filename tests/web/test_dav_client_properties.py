"""What clients read and set: every property is answered with a truth, or cleanly as not there.

The requests are those of Apple's clients, DAVx5, Thunderbird, Evolution, rclone, and of ownCloud's desktop client.
"""

from __future__ import annotations

import re
from hashlib import sha256

import pytest
from lxml import etree

from safehold.model.kinds import Kind
from safehold.protocol.cloud import OWNCLOUD
from tests.support.asgi import DECLARED, Answer, Device, event, q, vcard

BOOK, CALENDAR, NOTES = "/dav/anna/contacts/default/", "/dav/anna/calendars/default/", "/dav/anna/files/notes/"
PHOTOS, FILES = "/dav/anna/files/photos/", "/dav/anna/files/"
CONTACTS, CALENDARS, ANNA = "/dav/anna/contacts/", "/dav/anna/calendars/", "/dav/principals/anna/"
NS_TOO = 'xmlns:I="http://apple.com/ns/ical/" xmlns:O="http://owncloud.org/ns" xmlns:N="http://nextcloud.org/ns"'
ICAL = "{http://apple.com/ns/ical/}"

#: What each reads where, as far as it is not the same as for others.
READ = {
    "macOS, principal": (
        ANNA,
        "<C:calendar-home-set/><C:calendar-user-address-set/><D:current-user-principal/><D:displayname/>"
        "<S:dropbox-home-URL/><S:email-address-set/><S:notification-URL/><D:principal-collection-set/>"
        "<D:principal-URL/><D:resource-id/><C:schedule-inbox-URL/><C:schedule-outbox-URL/><D:supported-report-set/>",
        {"S:dropbox-home-URL", "S:email-address-set", "S:notification-URL"}
        | {"C:schedule-inbox-URL", "C:schedule-outbox-URL"},
    ),
    "macOS, calendar": (
        CALENDAR,
        "<D:add-member/><S:allowed-sharing-modes/><I:autoprovisioned/><C:calendar-alarm/><I:calendar-color/>"
        "<C:calendar-description/><C:calendar-free-busy-set/><I:calendar-order/><C:calendar-timezone/>"
        "<D:current-user-privilege-set/><C:default-alarm-vevent-datetime/><D:displayname/><S:getctag/><S:invite/>"
        "<I:language-code/><D:owner/><S:publish-url/><S:push-transports/><S:pushkey/><D:quota-available-bytes/>"
        "<D:quota-used-bytes/><I:refreshrate/><D:resource-id/><D:resourcetype/><C:schedule-calendar-transp/>"
        "<S:source/><C:supported-calendar-component-set/><D:supported-report-set/><D:sync-token/>",
        {
            "D:add-member",
            "S:allowed-sharing-modes",
            f"{ICAL}autoprovisioned",
            "C:calendar-alarm",
            f"{ICAL}calendar-color",
        }
        | {"C:calendar-description", "C:calendar-free-busy-set", f"{ICAL}calendar-order", "C:calendar-timezone"}
        | {"C:default-alarm-vevent-datetime", "S:invite", f"{ICAL}language-code", "S:publish-url", "S:push-transports"}
        | {"S:pushkey", f"{ICAL}refreshrate", "C:schedule-calendar-transp", "S:source"},
    ),
    "iOS, address book": (
        BOOK,
        "<D:add-member/><D:bulk-requests/><D:current-user-privilege-set/><D:displayname/><A:max-image-size/>"
        "<A:max-resource-size/><S:me-card/><D:owner/><S:push-transports/><S:pushkey/><D:quota-available-bytes/>"
        "<D:quota-used-bytes/><D:resource-id/><D:resourcetype/><D:supported-report-set/><D:sync-token/><S:getctag/>",
        {"D:add-member", "D:bulk-requests", "A:max-image-size", "S:me-card", "S:push-transports", "S:pushkey"},
    ),
    "DAVx5, address book": (
        BOOK,
        "<D:resourcetype/><D:displayname/><A:addressbook-description/><D:owner/><D:current-user-privilege-set/>"
        "<A:supported-address-data/><D:supported-report-set/><S:getctag/><D:sync-token/><A:max-resource-size/>",
        {"A:addressbook-description"},
    ),
    "DAVx5, principal": (
        ANNA,
        "<D:displayname/><C:calendar-home-set/><A:addressbook-home-set/><D:group-membership/>"
        "<C:calendar-user-address-set/><S:calendar-proxy-read-for/><S:calendar-proxy-write-for/><D:resourcetype/>",
        {"S:calendar-proxy-read-for", "S:calendar-proxy-write-for"},
    ),
    "Thunderbird, calendar": (
        CALENDAR,
        "<D:resourcetype/><D:owner/><D:current-user-principal/><D:current-user-privilege-set/>"
        "<D:supported-report-set/><C:supported-calendar-component-set/><S:getctag/>",
        set(),
    ),
    "Evolution, home": (
        CALENDARS,
        "<D:displayname/><D:resourcetype/><C:calendar-home-set/><A:addressbook-home-set/><I:calendar-color/>"
        "<C:calendar-user-address-set/><D:current-user-principal/><D:owner/>",
        {"D:displayname", f"{ICAL}calendar-color", "C:calendar-user-address-set"},
    ),
    "ownCloud desktop, folder": (
        NOTES,
        "<D:resourcetype/><D:getlastmodified/><D:getcontentlength/><D:getetag/><O:size/><O:id/><O:fileid/>"
        "<O:downloadURL/><O:dDC/><O:permissions/><O:checksums/><O:share-types/><O:data-fingerprint/><N:is-encrypted/>",
        {"D:getcontentlength", "D:getetag", "N:is-encrypted"}
        | {f"{OWNCLOUD}{name}" for name in ("size", "downloadURL", "dDC", "checksums", "share-types")},
    ),
    "rclone, file": (
        NOTES + "n.txt",
        "<D:displayname/><D:getlastmodified/><D:getcontentlength/><D:resourcetype/><O:checksums/><O:permissions/>",
        {"D:displayname"},
    ),
}


def propfind(device: Device, path: str, inner: str, depth: str = "0") -> Answer:
    body = f"<D:propfind {DECLARED} {NS_TOO}><D:prop>{inner}</D:prop></D:propfind>"
    return device.ask("PROPFIND", path, body, {"Depth": depth})


@pytest.mark.parametrize("who", READ)
def test_every_property_is_answered_with_a_truth_or_as_not_there(device: Device, who: str) -> None:
    path, inner, missing = READ[who]
    device.put(NOTES + "n.txt", b"note", "text/plain")
    found = propfind(device, path, inner).responses[path]
    missing = {name.replace("N:", "{http://nextcloud.org/ns}") for name in missing}
    assert set(found.get(404, {})) == missing
    assert len(found[200]) + len(missing) == inner.count("/>")


# -- what is set ---------------------------------------------------------------------------------------------


SETS = {
    "macOS, colour": (CALENDAR, '<I:calendar-color symbolic-color="orange">#FD8208FF</I:calendar-color>'),
    "iOS, colour": (CALENDAR, "<I:calendar-color>#711A76</I:calendar-color>"),
    "macOS, order": (CALENDAR, "<I:calendar-order>7</I:calendar-order>"),
    "macOS, transparency": (
        CALENDAR,
        "<C:schedule-calendar-transp><C:transparent/></C:schedule-calendar-transp>",
    ),
    "macOS, refresh rate": (CALENDAR, "<I:refreshrate>PT15M</I:refreshrate>"),
    "macOS, default alarms": (
        CALENDARS,
        "<C:default-alarm-vevent-datetime>BEGIN:VALARM&#13;\nX-WR-ALARMUID:4AD03A33&#13;\n"
        "TRIGGER;VALUE=DATE-TIME:19760401T005545Z&#13;\nACTION:NONE&#13;\nEND:VALARM&#13;\n</C:default-alarm-vevent-datetime>",
    ),
    "iOS, own card": (CONTACTS, "<S:me-card><D:href>/dav/anna/contacts/default/me.vcf</D:href></S:me-card>"),
    "DAVx5, name": (BOOK, "<D:displayname>Freunde &amp; Familie</D:displayname>"),
    "DAVx5, description": (BOOK, "<A:addressbook-description>alle</A:addressbook-description>"),
    "Thunderbird, colour": (CALENDAR, "<I:calendar-color>#ff0000</I:calendar-color>"),
    "Evolution, name and colour": (
        CALENDAR,
        "<D:displayname>Work</D:displayname><I:calendar-color>#00FF00</I:calendar-color>",
    ),
    "Nextcloud, favourite": (NOTES + "n.txt", "<O:favorite>1</O:favorite>"),
}


@pytest.mark.parametrize("who", SETS)
def test_what_a_client_sets_comes_back_as_it_was(device: Device, who: str) -> None:
    path, inner = SETS[who]
    device.put(NOTES + "n.txt", b"n", "text/plain")
    body = f"<D:propertyupdate {DECLARED} {NS_TOO}><D:set><D:prop>{inner}</D:prop></D:set></D:propertyupdate>"
    [set_] = device.ask("PROPPATCH", path, body).listed
    assert set(set_) == {"href", "status", 200, "200 error", "error"}
    sent = {e.tag: e for e in etree.fromstring(f"<x {DECLARED} {NS_TOO}>{inner}</x>".replace("&#13;", "&#xD;"))}
    names = "".join(f'<{etree.QName(tag).localname} xmlns="{etree.QName(tag).namespace}"/>' for tag in sent)
    found = propfind(device, path, names).responses[path][200]
    for element in found.values():
        assert canonical(element) == canonical(sent[element.tag])
    assert len(found) == len(sent) > 0
    gone = f"<D:propertyupdate {DECLARED} {NS_TOO}><D:remove><D:prop>{names}</D:prop></D:remove></D:propertyupdate>"
    assert 200 in device.ask("PROPPATCH", path, gone).listed[0]
    assert len(propfind(device, path, names).responses[path][404]) == len(sent)


def canonical(element: etree._Element) -> bytes:
    return etree.tostring(etree.fromstring(etree.tostring(element, with_tail=False)), method="c14n", exclusive=True)


def test_what_is_set_on_a_home_stays_there(device: Device) -> None:
    """Beside what the others have, in listings, and as far as a home takes it."""
    card = "<S:me-card><D:href>/dav/anna/contacts/default/me.vcf</D:href></S:me-card>"
    for path, inner in ((CONTACTS, card), (CALENDARS, "<D:displayname>Mine</D:displayname>")):
        assert 200 in device.proppatch(path, f"<D:set><D:prop>{inner}</D:prop></D:set>").listed[0]
    listed = propfind(device, "/dav/anna/", "<S:me-card/><D:displayname/>", "1").responses
    assert set(listed[CONTACTS][200]) == {"S:me-card"}
    assert set(listed[CALENDARS][200]) == {"D:displayname"}
    assert set(listed[FILES][404]) == {"S:me-card", "D:displayname"}
    everything = device.propfind(CONTACTS).responses[CONTACTS][200]
    assert {"S:me-card", "D:resourcetype"} <= set(everything)
    refused = device.proppatch(CONTACTS, f"<D:set><D:prop>{card}<D:owner/></D:prop></D:set>").responses[CONTACTS]
    assert (set(refused[403]), set(refused[424])) == ({"D:owner"}, {"S:me-card"})
    large = "".join(f'<x{n} xmlns="u">{60_000 * "y"}</x{n}>' for n in range(6))
    assert 507 in device.proppatch(CONTACTS, f"<D:set><D:prop>{large}</D:prop></D:set>").listed[0]
    [href] = device.propfind(CONTACTS, "S:me-card").responses[CONTACTS][200]["S:me-card"]
    assert href.text == "/dav/anna/contacts/default/me.vcf"


def test_what_is_set_on_a_home_ends_no_sign_in_and_heeds_the_if_header(device: Device) -> None:
    inner = "<D:set><D:prop><D:displayname>x</D:displayname></D:prop></D:set>"
    body = f"<D:propertyupdate {DECLARED}>{inner}</D:propertyupdate>"
    device.propfind(CONTACTS)
    verified = device.gate.hasher.verified
    assert device.ask("PROPPATCH", CONTACTS, body, {"If": "(<urn:x>)"}).status == 412
    assert device.ask("PROPPATCH", CONTACTS, body).status == 207
    device.propfind(CONTACTS)
    assert device.gate.hasher.verified == verified


def test_homes_take_nothing_while_identity_is_not_whole(device: Device) -> None:
    account = device.gate.reads.account_named("anna")
    device.gate.hold(account, Kind.IDENTITY, "revisions are missing")
    answer = device.proppatch(CONTACTS, "<D:set><D:prop><D:displayname>x</D:displayname></D:prop></D:set>")
    assert (answer.status, answer.error) == (503, "")


# -- quotas ------------------------------------------------------------------------------------------------------


def quota(device: Device, path: str) -> tuple[int, int]:
    answer = device.propfind(path, "D:quota-used-bytes", "D:quota-available-bytes")
    used, left = (answer.text(path, f"D:quota-{what}-bytes") for what in ("used", "available"))
    return int(used), int(left)


WITH_QUOTA = ("/dav/anna/", CONTACTS, CALENDARS, FILES, BOOK, CALENDAR, NOTES, PHOTOS)


def test_quotas_are_the_accounts_wherever_they_are_asked(device: Device) -> None:
    body = vcard("a")
    device.put(BOOK + "a.vcf", body)
    device.put(PHOTOS + "p", bytes(100_000), "image/jpeg")
    device.gate.free = 7000
    assert {quota(device, path) for path in WITH_QUOTA} == {(len(body) + 100_000, 7000)}
    listed = device.propfind(CONTACTS, "D:quota-used-bytes", depth="1")
    assert listed.text(BOOK, "D:quota-used-bytes") == str(len(body) + 100_000)
    device.ask("DELETE", PHOTOS + "p")
    assert quota(device, PHOTOS) == (len(body), 7000)
    everything = device.propfind(BOOK).responses[BOOK][200]
    assert not {"D:quota-used-bytes", "D:quota-available-bytes"} & set(everything)
    item = device.propfind(BOOK + "a.vcf", "D:quota-used-bytes").responses[BOOK + "a.vcf"]
    assert set(item[404]) == {"D:quota-used-bytes"}
    other = Device(device.gate, "bob")
    assert quota(other, "/dav/bob/files/")[0] == 0
    other.loop.close()


def test_room_that_is_not_known_is_not_claimed(device: Device) -> None:
    device.gate.free = None
    found = device.propfind(NOTES, "D:quota-used-bytes", "D:quota-available-bytes").responses[NOTES]
    assert (set(found[200]), set(found[404])) == ({"D:quota-used-bytes"}, {"D:quota-available-bytes"})


@pytest.mark.parametrize("chunked", [False, True])
def test_over_the_quota(small: Device, chunked: bool) -> None:
    """507 with quota-not-exceeded (RFC 4331 section 6), for small bodies and for what would have to be staged."""

    def put(size: int) -> Answer:
        if not chunked:
            return small.put(PHOTOS + "p", bytes(size), "image/jpeg")
        pieces = [bytes(1000)] * (size // 1000)
        return small.ask("PUT", PHOTOS + "p", headers={"Content-Type": "image/jpeg"}, chunks=pieces)

    assert put(200_000).status == 201
    assert quota(small, PHOTOS) == (200_000, 100_000)
    for size in (301_000, 2_000_000):
        answer = put(size)
        assert (answer.status, answer.error) == (507, "D:quota-not-exceeded")
    assert all(stage.state != "open" for stage in small.gate.memory_blobs.stages)
    assert len(small.gate.memory_blobs.kept) == 1
    assert put(300_000).status == 204
    assert quota(small, PHOTOS) == (300_000, 0)
    card = small.put(BOOK + "a.vcf", vcard("a"))
    assert (card.status, card.error) == (507, "D:quota-not-exceeded")
    assert small.put(PHOTOS + "p", bytes(300_000), "image/png").status == 204
    assert small.ask("DELETE", PHOTOS + "p").status == 204
    assert small.put(BOOK + "a.vcf", vcard("a")).status == 201


def test_the_disk_may_leave_less_than_the_quota(small: Device) -> None:
    small.gate.free = 500
    assert quota(small, NOTES) == (0, 500)
    small.gate.free = 1 << 40
    assert quota(small, NOTES) == (0, 300_000)


# -- ids, methods, privileges ----------------------------------------------------------------------------------


def test_what_files_are_known_by(device: Device) -> None:
    device.ask("MKCOL", NOTES + "f")
    body = b"hello"
    for path in (NOTES + "a b%25.txt", NOTES + "f/x.txt"):
        assert device.put(path, body, "text/plain").status == 201
    names = "<O:id/><O:fileid/><O:permissions/><O:size/><O:checksums/><O:owner-id/><O:owner-display-name/>"
    listed = {}
    for path in (FILES, NOTES, NOTES + "f/"):
        listed |= propfind(device, path, names, "1").responses
    assert len({r[200][f"{OWNCLOUD}fileid"].text for r in listed.values()}) == len(listed) == 6
    for found in listed.values():
        number = found[200][f"{OWNCLOUD}fileid"].text
        assert 0 <= int(number) < 1 << 63
        assert found[200][f"{OWNCLOUD}id"].text == number.rjust(19, "0")
        assert found[200][f"{OWNCLOUD}owner-id"].text == "anna"
    permissions = {path: r[200][f"{OWNCLOUD}permissions"].text for path, r in listed.items()}
    assert permissions == {
        FILES: None,
        NOTES: "CK",
        PHOTOS: "CK",
        NOTES + "f/": "DNVCK",
        NOTES + "a%20b%25.txt": "DNVW",
        NOTES + "f/x.txt": "DNVW",
    }
    file = listed[NOTES + "f/x.txt"][200]
    assert file[f"{OWNCLOUD}size"].text == "5"
    assert file[f"{OWNCLOUD}checksums"][0].tag == f"{OWNCLOUD}checksum"
    assert file[f"{OWNCLOUD}checksums"][0].text == f"SHA256:{sha256(body).hexdigest()}"


def test_a_file_with_a_property_of_its_own_has_the_others_too(device: Device) -> None:
    device.put(NOTES + "x", b"x", "text/plain")
    device.put(NOTES + "y", b"y", "text/plain")
    device.proppatch(NOTES + "x", '<D:set><D:prop><p xmlns="urn:p">1</p></D:prop></D:set>')
    names = '<O:id/><O:permissions/><O:checksums/><D:supported-method-set/><p xmlns="urn:p"/>'
    x, y = (propfind(device, NOTES, names, "1").responses[NOTES + n] for n in "xy")
    assert set(x[200]) - set(y[200]) == {"{urn:p}p"}
    allnames = device.ask("PROPFIND", NOTES, f"<D:propfind {DECLARED}><D:propname/></D:propfind>", {"Depth": "1"})
    assert f"{OWNCLOUD}checksums" in allnames.responses[NOTES + "x"][200]


def test_before_any_recovery_the_fingerprint_is_there_and_empty(device: Device) -> None:
    for path in (FILES, NOTES, PHOTOS):
        found = propfind(device, path, "<O:data-fingerprint/>").responses[path][200]
        assert found[f"{OWNCLOUD}data-fingerprint"].text is None
    device.gate.core.begin()
    device.gate.core.set_recovery_mark("7-a&b")
    device.gate.core.commit()
    texts = {
        propfind(device, path, "<O:data-fingerprint/>").responses[path][200][f"{OWNCLOUD}data-fingerprint"].text
        for path in (FILES, NOTES, PHOTOS)
    }
    assert texts == {"7-a&b"}
    assert set(propfind(device, BOOK, "<O:data-fingerprint/>").responses[BOOK]) >= {404}


def test_ids_of_collections_and_principals(device: Device) -> None:
    def urn(path: str) -> str:
        [href] = device.propfind(path, "D:resource-id").responses[path][200]["D:resource-id"]
        return str(href.text)

    urns = [urn(path) for path in (ANNA, BOOK, CALENDAR, "/dav/anna/calendars/tasks/")]
    assert len(set(urns)) == 4
    assert all(
        re.fullmatch(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", u) for u in urns
    )
    assert urn(BOOK) == urns[1]


@pytest.mark.parametrize(
    "path", ["/dav/", "/dav/principals/", ANNA, "/dav/anna/", CONTACTS, FILES, BOOK, BOOK + "a.vcf", NOTES + "n.txt"]
)
def test_what_the_access_properties_say(device: Device, path: str) -> None:
    device.put(BOOK + "a.vcf", vcard("a"))
    device.put(NOTES + "n.txt", b"n", "text/plain")
    names = ("owner", "group", "supported-privilege-set", "current-user-privilege-set", "acl", "acl-restrictions")
    names += ("inherited-acl-set", "principal-collection-set", "supported-method-set", "current-user-principal")
    found = device.propfind(path, *(f"D:{name}" for name in names)).responses[path]
    assert set(found[200]) == {f"D:{name}" for name in names}
    held = {e[0].tag for e in found[200]["D:current-user-privilege-set"]}
    supported = {e[0].tag for e in found[200]["D:supported-privilege-set"].iter(q("D:privilege"))}
    granted = {e[0].tag for e in found[200]["D:acl"].iterfind(f".//{q('D:grant')}/{q('D:privilege')}")}
    assert held <= supported
    assert granted <= supported
    assert q("D:read") in held
    assert found[200]["D:principal-collection-set"].findtext(q("D:href")) == "/dav/principals/"
    methods = [e.get("name") for e in found[200]["D:supported-method-set"]]
    allowed = device.ask("OPTIONS", path).headers["allow"].split(", ")
    assert {"PROPFIND", "REPORT"} <= set(methods) <= set(allowed)


def test_who_is_busy_when_can_be_read_where_there_are_events(device: Device) -> None:
    device.put(CALENDAR + "e.ics", event("e"), "text/calendar")
    privileges = device.propfind(CALENDAR, "D:current-user-privilege-set").responses[CALENDAR][200]
    assert q("C:read-free-busy") in {e[0].tag for e in privileges["D:current-user-privilege-set"]}


def test_an_account_that_is_nearly_full_moves_what_it_has_and_copies_none_of_it(small: Device) -> None:
    """A move makes the copy before it takes the source away: what counts is what is there afterwards."""
    assert small.put(PHOTOS + "p", bytes(200_000), "image/jpeg").status == 201
    moved = small.ask("MOVE", PHOTOS + "p", headers={"Destination": PHOTOS + "q"})
    assert moved.status == 201
    copied = small.ask("COPY", PHOTOS + "q", headers={"Destination": PHOTOS + "r"})
    assert (copied.status, copied.error) == (507, "D:quota-not-exceeded")
    assert [r["href"] for r in small.propfind(PHOTOS, depth="1").listed] == [PHOTOS, PHOTOS + "q"]
    assert quota(small, PHOTOS) == (200_000, 100_000)
