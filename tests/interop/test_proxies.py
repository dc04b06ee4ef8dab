"""Safehold behind nginx and Caddy, by exactly the files of docs/deploy: ports, paths and the certificate are replaced.

Devices come over TLS, from addresses of their own (127.0.0.x); the service is stopped and started behind the proxy's
back.
"""

from __future__ import annotations

import http.client
import os
import random
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

import pytest

from tests.support.service import ROOT, Client, Service, free_port
from tests.support.writers import CARD, card, digest

HOST = "dav.example.org"
PASSWORD = "correct horse"
BOOK = "/dav/ada/contacts/default/"
PHOTOS = "/dav/ada/files/photos/"
READY_SECONDS = 300
FAILURES = 3
MIB = 1 << 20

PROXIES = ("nginx", "caddy")


class Ports(NamedTuple):
    tls: int
    plain: int
    service: int


class Connection(http.client.HTTPSConnection):
    """To the proxy at this machine, under the name it serves, from an address of the device's own."""

    def __init__(self, port: int, certificate: Path, source: str, name: str = HOST) -> None:
        context = ssl.create_default_context(cafile=str(certificate))
        super().__init__(name, port, timeout=60, context=context)
        self._at, self._from, self._tls = port, source, context

    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self._at), 60, (self._from, 0))
        self.sock = self._tls.wrap_socket(plain, server_hostname=HOST)


class Proxied:
    """A service with one account, and a proxy before it."""

    def __init__(self, folder: Path, kind: str, patience: str = "10m") -> None:
        """`patience` replaces what the proxy waits for an answer."""
        self.kind = kind
        self.certificate = make_certificate(folder)
        self.service = Service(folder / "data")
        self.ports = Ports(free_port(), free_port(), self.service.port)
        (folder / "data").mkdir()
        (folder / "data" / "safehold.toml").write_text(
            f'[serve]\ntrusted_proxies = ["127.0.0.1"]\n[auth]\nfailures = {FAILURES}\nwindow_seconds = 3600\n'
        )
        self.service.add_account("ada", PASSWORD)
        self.service.start()
        command = {"nginx": nginx, "caddy": caddy}[kind](folder, self.ports, patience)
        self.log = folder / "proxy.log"
        homes = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), str(folder))
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **homes}
            )
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self) -> None:
        end = time.monotonic() + READY_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.ports.tls), 1).close()
                return
            except OSError:
                assert self._process.poll() is None, self.log.read_text()
                assert time.monotonic() < end, self.log.read_text()

    def client(self, source: str = "127.0.0.1", password: str = PASSWORD, name: str = HOST) -> Client:
        connection = Connection(self.ports.tls, self.certificate, source, name)
        return Client(0, "ada", password, connection=connection)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        self.service.close()


def make_certificate(folder: Path) -> Path:
    """A certificate of our own for HOST, its key beside it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    unencrypted = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unencrypted)
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return folder / "cert.pem"


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """With each of these replaced, which all must be there."""
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


def nginx(folder: Path, ports: Ports, patience: str) -> list[str]:
    site = replaced(
        re.sub(r".*listen \[::\].*\n", "", (ROOT / "docs/deploy/nginx.conf").read_text()),
        ("listen 443", f"listen 127.0.0.1:{ports.tls}"),
        ("listen 80", f"listen 127.0.0.1:{ports.plain}"),
        ("127.0.0.1:8460", f"127.0.0.1:{ports.service}"),
        ("proxy_read_timeout 10m", f"proxy_read_timeout {patience}"),
        ("/etc/letsencrypt/live/dav.example.org/fullchain.pem", str(folder / "cert.pem")),
        ("/etc/letsencrypt/live/dav.example.org/privkey.pem", str(folder / "key.pem")),
    )
    (folder / "site.conf").write_text(site)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.getuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user}daemon off;\nworker_processes 1;\npid {folder}/nginx.pid;\nerror_log stderr;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary}include {folder}/site.conf;\n}}\n"
    )
    return ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def caddy(folder: Path, ports: Ports, patience: str) -> list[str]:
    options = (
        f"{{\n\tadmin off\n\tskip_install_trust\n\tstorage file_system {folder}/storage\n"
        f"\thttp_port {ports.plain}\n\thttps_port {ports.tls}\n}}\n\n"
    )
    text = replaced(
        (ROOT / "docs/deploy/Caddyfile").read_text(),
        ("\ndav.example.org {\n", f"\ndav.example.org {{\n\ttls {folder}/cert.pem {folder}/key.pem\n"),
        ("127.0.0.1:8460", f"127.0.0.1:{ports.service}"),
        ("response_header_timeout 10m", f"response_header_timeout {patience}"),
    )
    (folder / "Caddyfile").write_text(options + text)
    return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(
            kind,
            marks=[
                pytest.mark.skipif(shutil.which(kind) is None, reason=f"{kind} is not installed"),
                pytest.mark.xdist_group(kind),  # each is set up once, and its service with it
            ],
        )
        for kind in PROXIES
    ],
)
def proxied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    found = Proxied(tmp_path_factory.mktemp(request.param), request.param)
    yield found
    found.close()


def test_a_device_stores_lists_and_syncs(proxied: Proxied) -> None:
    phone = proxied.client()
    first = phone.sync(BOOK, "")
    body = card("through", random.Random(1))
    put = phone.put(BOOK + "through.vcf", body, CARD, new=True)
    assert put.status == 201
    assert phone.put(BOOK + "through.vcf", body, CARD, new=True).status == 412, "If-None-Match gets through"
    assert phone.ask("GET", BOOK + "through.vcf").body == body
    assert phone.listing(BOOK)[0] == {"through.vcf": f'"{digest(body)}"'}
    second = phone.sync(BOOK, first.token)
    assert (second.status, set(second.changed)) == (207, {"through.vcf"})
    assert phone.ask("DELETE", BOOK + "through.vcf", headers={"If-Match": put.etag}).status == 204
    assert phone.sync(BOOK, second.token).gone == {"through.vcf"}


@pytest.mark.parametrize("service", ["caldav", "carddav"])
def test_the_service_is_found_from_the_name_alone(proxied: Proxied, service: str) -> None:
    phone = proxied.client()
    asked = '<propfind xmlns="DAV:"><prop><current-user-principal/></prop></propfind>'
    led = phone.xml("PROPFIND", f"/.well-known/{service}", asked)
    assert led.status == 301
    assert led.headers["location"] in ("/dav/", f"https://{HOST}/dav/")
    assert b"/dav/principals/ada/" in phone.xml("PROPFIND", "/dav/", asked).body


def test_making_and_dropping_a_collection(proxied: Proxied) -> None:
    phone = proxied.client()
    assert phone.ask("MKCOL", "/dav/ada/files/photos/2026/").status == 201
    calendar = '<mkcalendar xmlns="urn:ietf:params:xml:ns:caldav"/>'
    assert phone.xml("MKCALENDAR", "/dav/ada/calendars/club/", calendar).status == 201
    named = '<propertyupdate xmlns="DAV:"><set><prop><displayname>Club</displayname></prop></set></propertyupdate>'
    assert phone.xml("PROPPATCH", "/dav/ada/calendars/club/", named).status == 207
    assert phone.listing("/dav/ada/calendars/")[1]["club"] == "Club"
    assert phone.ask("DELETE", "/dav/ada/calendars/club/").status == 204
    assert phone.ask("OPTIONS", BOOK).headers["dav"].startswith("1,")


def test_copies_moves_and_locks_name_the_address_that_the_device_knows(proxied: Proxied) -> None:
    """https, although the proxy asks by http (RFC 4918 section 10.3)."""
    phone = proxied.client()
    if "2" not in phone.ask("OPTIONS", PHOTOS).headers["dav"].replace(" ", "").split(","):
        pytest.skip("the service does not claim locks")
    one, two, three = (f"{PHOTOS}{name}.jpg" for name in ("one", "two", "three"))
    at = f"https://{HOST}:{proxied.ports.tls}"
    assert phone.put(one, b"x", "image/jpeg").status == 201
    to_two = {"Destination": at + two, "Overwrite": "F"}
    assert [phone.ask("COPY", one, headers=to_two).status for _ in range(2)] == [201, 412]
    assert phone.ask("MOVE", two, headers={"Destination": at + three}).status == 201
    assert phone.ask("GET", three).body == b"x"
    assert phone.ask("MOVE", three, headers={"Destination": f"https://other.example{two}"}).status == 502
    lock = '<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>'
    locked = phone.xml("LOCK", three, lock)
    assert locked.status == 200
    token = locked.headers["lock-token"]
    assert phone.put(three, b"y", "image/jpeg").status == 423
    submitted = {"Content-Type": "image/jpeg", "If": f"<{at}{three}> ({token})"}
    assert phone.ask("PUT", three, b"y", headers=submitted).status == 204
    assert phone.ask("UNLOCK", three, headers={"Lock-Token": token}).status == 204


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
def test_a_large_photo_goes_through_whole(proxied: Proxied, chunked: bool) -> None:
    phone = proxied.client()
    name = f"{PHOTOS}large-{chunked}.jpg"
    body = random.Random(2).randbytes(32 * MIB)
    if chunked:
        pieces = (body[i : i + MIB] for i in range(0, len(body), MIB))
        phone._connection.request(
            "PUT", name, pieces, {"Authorization": phone._login, "Transfer-Encoding": "chunked"}, encode_chunked=True
        )
        answer = phone._connection.getresponse()
        answer.read()
        assert answer.status == 201
    else:
        assert phone.put(name, body, "image/jpeg").status == 201
    back = phone.ask("GET", name)
    assert (back.status, sha256(back.body).digest()) == (200, sha256(body).digest())
    part = phone.ask("GET", name, headers={"Range": "bytes=1000000-1000099"})
    assert (part.status, part.body) == (206, body[1_000_000:1_000_100])


def test_a_photo_is_on_its_way_to_the_service_before_it_is_whole(proxied: Proxied) -> None:
    """What a proxy would collect first would lie on its disk, and be lost with it."""
    phone = proxied.client()
    half, login = random.Random(3).randbytes(8 * MIB), phone._login
    connection = phone._connection
    connection.putrequest("PUT", PHOTOS + "half.jpg")
    connection.putheader("Authorization", login)
    connection.putheader("Content-Length", str(2 * len(half)))
    connection.endheaders(half)
    scratch = proxied.service.data / "scratch"
    end = time.monotonic() + READY_SECONDS
    while sum(file.stat().st_size for file in scratch.rglob("*") if file.is_file()) < len(half) // 2:
        assert time.monotonic() < end, "nothing has arrived"
        proxied.service.health()
    connection.send(half)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 201


# -- who asks --------------------------------------------------------------------------------------------------


def refusals(phone: Client, count: int, headers: dict[str, str] | None = None) -> list[int]:
    """Wrong passwords, each another one: 401 while the place may guess, 429 once it may not."""
    from base64 import b64encode

    said = []
    for _ in range(count):
        guess = {"Authorization": "Basic " + b64encode(f"ada:{random.random()}".encode()).decode()}
        said.append(phone.ask("OPTIONS", "/dav/", headers=guess | (headers or {})).status)
    return said


def test_guessing_is_slowed_for_the_device_and_not_for_the_proxy(proxied: Proxied) -> None:
    assert refusals(proxied.client("127.0.0.2"), FAILURES + 2) == [401] * FAILURES + [429] * 2
    assert refusals(proxied.client("127.0.0.3"), FAILURES) == [401] * FAILURES, "another device is another place"


@pytest.mark.parametrize(
    "forged",
    [
        {"X-Forwarded-For": "192.0.2.77"},
        {"X-Forwarded-For": "192.0.2.77, 127.0.0.1"},
        {"Forwarded": "for=192.0.2.77"},
        {"X-Forwarded-For": "192.0.2.77", "Forwarded": "for=192.0.2.77"},
        {"X-Real-IP": "192.0.2.77"},
    ],
    ids=["x-forwarded-for", "as if by the proxy", "forwarded", "both", "x-real-ip"],
)
def test_a_device_cannot_say_that_it_is_another_place(proxied: Proxied, forged: dict[str, str]) -> None:
    source = f"127.0.1.{1 + sum(map(len, forged.values())) % 200}"
    assert refusals(proxied.client(source), FAILURES + 1)[-1] == 429
    assert refusals(proxied.client(source), 1, forged) == [429]


def test_pages_tell_the_address_that_the_visitor_sees(proxied: Proxied) -> None:
    forged = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http", "Forwarded": "host=evil.example"}
    text = proxied.client().ask("GET", "/", headers=forged).body
    # http.client names the port in Host, as browsers do where it is not 443.
    assert f"https://{HOST}:{proxied.ports.tls}/dav/ada/contacts/".encode() in text
    assert b"without encryption" not in text
    assert b"evil.example" not in text


# -- down, and under a wrong name ------------------------------------------------------------------------------

_SYNC = '<sync-collection xmlns="DAV:"><sync-token/><sync-level>1</sync-level><prop><getetag/></prop></sync-collection>'
_ASKED: dict[str, Callable[[Client], object]] = {
    "GET": lambda phone: phone.ask("GET", BOOK + "x.vcf"),
    "PROPFIND": lambda phone: phone.xml("PROPFIND", BOOK, '<propfind xmlns="DAV:"><allprop/></propfind>', "1"),
    "PUT": lambda phone: phone.put(BOOK + "x.vcf", card("x", random.Random(4)), CARD),
    "large PUT": lambda phone: phone.put(PHOTOS + "x.jpg", bytes(MIB), "image/jpeg"),
    "REPORT": lambda phone: phone.xml("REPORT", BOOK, _SYNC),
    "DELETE": lambda phone: phone.ask("DELETE", BOOK + "x.vcf"),
    "well-known": lambda phone: phone.ask("GET", "/.well-known/caldav"),
    "OPTIONS": lambda phone: phone.ask("OPTIONS", "/dav/"),
}


def assert_not_now(answer: object) -> None:
    assert isinstance(answer, tuple)
    status, headers, body = answer
    assert status == 503, (status, body[:200])
    assert int(headers["retry-after"]) >= 1
    assert headers["content-type"].startswith("application/xml")
    assert ET.fromstring(body).tag == "{DAV:}error"


def test_while_the_service_is_down_every_device_is_told_to_come_back(proxied: Proxied) -> None:
    body = card("kept", random.Random(5))
    assert proxied.client().put(BOOK + "kept.vcf", body, CARD).status == 201
    kept_alive = proxied.client()
    assert kept_alive.ask("GET", BOOK + "kept.vcf").status == 200
    assert proxied.service.stop() == 0
    try:
        assert_not_now(kept_alive.ask("GET", BOOK + "kept.vcf"))
        for ask in _ASKED.values():
            assert_not_now(ask(proxied.client()))
    finally:
        proxied.service.start()
    back = proxied.client().ask("GET", BOOK + "kept.vcf")
    assert (back.status, back.body) == (200, body)


def test_a_service_that_takes_too_long_is_503_too(proxied: Proxied, tmp_path: Path) -> None:
    import signal

    impatient = Proxied(tmp_path, proxied.kind, patience="1s")
    try:
        phone = impatient.client()
        assert phone.ask("OPTIONS", "/dav/").status == 200
        os.kill(impatient.service.pid, signal.SIGSTOP)
        for ask in ("GET", "PROPFIND", "PUT"):
            assert_not_now(_ASKED[ask](impatient.client()))
    finally:
        impatient.close()


def test_a_service_that_is_killed_within_an_answer_is_503_too(proxied: Proxied) -> None:
    """The connection is open, and nothing comes: a frozen process that is then killed."""
    import signal
    from threading import Thread

    phone = proxied.client()
    assert phone.ask("OPTIONS", "/dav/").status == 200
    os.kill(proxied.service.pid, signal.SIGSTOP)
    answers: list[object] = []
    asking = Thread(target=lambda: answers.append(phone.xml("PROPFIND", BOOK, '<propfind xmlns="DAV:"/>')))
    asking.start()
    try:
        asking.join(0.3)
        assert answers == []
    finally:
        proxied.service.kill()
    asking.join(60)
    try:
        assert_not_now(answers[0])
    finally:
        proxied.service.start()


def test_an_answer_that_breaks_off_is_never_taken_for_a_whole_one(proxied: Proxied) -> None:
    phone = proxied.client()
    body = random.Random(6).randbytes(64 * MIB)
    assert phone.put(PHOTOS + "cut.jpg", body, "image/jpeg").status == 201
    phone._connection.request("GET", PHOTOS + "cut.jpg", headers={"Authorization": phone._login})
    answer = phone._connection.getresponse()
    assert answer.status == 200
    answer.read(MIB)
    proxied.service.kill()
    try:
        with pytest.raises((http.client.IncompleteRead, OSError)):
            answer.read()
    finally:
        proxied.service.start()


def test_under_a_wrong_name_nothing_is_said_to_be_absent(proxied: Proxied) -> None:
    for ask in _ASKED.values():
        assert_not_now(ask(proxied.client(name="other.example")))


def test_a_wrong_name_without_tls_is_503_and_the_right_one_is_led_to_tls(proxied: Proxied) -> None:
    for name, status in ((HOST, 308), ("other.example", 503)):
        plain = http.client.HTTPConnection("127.0.0.1", proxied.ports.plain, timeout=30)
        plain.request("PROPFIND", BOOK, headers={"Host": name, "Depth": "1"})
        answer = plain.getresponse()
        answer.read()
        assert answer.status == status
        if status == 308:
            assert (answer.getheader("location") or "").startswith(f"https://{HOST}")
            assert (answer.getheader("location") or "").endswith(BOOK)
        else:
            assert answer.getheader("retry-after")
        plain.close()


def test_a_name_that_the_certificate_does_not_bear_gets_no_connection(proxied: Proxied) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", proxied.ports.tls), 30) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="other.example")
