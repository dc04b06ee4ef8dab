"""Certificates that end, seen at a real TLS server: by the look, by the rule, and by a service that somebody visits."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from safehold.adapters.certificate import certificate_end
from safehold.assembly.alarming_service import certificates
from safehold.proof.rules import Rules
from safehold.proof.seen import Sight
from tests.support.service import Service
from tests.support.waiting import until

HOST = "localhost"


def make_certificate(folder: Path, end: datetime) -> None:
    """Signed by itself, for HOST, with this end."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=90))
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))


class TlsServer:
    """Shows its certificate to whoever connects, one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.visits = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}/"

    def show(self, end: datetime) -> None:
        """From now on this one."""
        make_certificate(self._folder, end)
        if not self._thread.is_alive():
            self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._folder / "cert.pem", self._folder / "key.pem")
            with suppress(OSError), context.wrap_socket(plain, server_side=True) as wrapped:
                self.visits += 1
                wrapped.recv(1)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TlsServer]:
    server = TlsServer(tmp_path)
    yield server
    server.close()


def in_days(days: float) -> datetime:
    return (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)


@pytest.mark.parametrize("days", [400, 5, -3])
def test_the_end_is_the_certificates_own(server: TlsServer, days: int) -> None:
    """One that has ended, and is signed by nobody, is seen as well."""
    end = in_days(days)
    server.show(end)
    assert certificate_end(HOST, server.port) == int(end.timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("days", "said"), [(400, ""), (22, ""), (20.5, "ends in 20 days"), (0.5, "ends today"), (-3.2, "ended 3 days ago")]
)
def test_the_rule_goes_by_what_the_server_shows(server: TlsServer, days: float, said: str) -> None:
    server.show(in_days(days))
    now = round(datetime.now(UTC).timestamp() * 1e6)
    ends = tuple(certificates(server.url))
    assert [(end.what, end.name) for end in ends] == [("certificate", HOST)]
    found = list(Rules().judge(Sight(now=now, monotonic=60.0, up_seconds=60.0, ends=ends)))
    assert [condition.message for condition in found] == ([f"the certificate of {HOST} {said}"] if said else [])
    assert not found or (found[0].what, found[0].hint) == ("certificate ends", "renew it")


def test_where_nobody_answers_nothing_is_said(server: TlsServer) -> None:
    assert certificates("http://localhost/") == [] and certificates("") == []
    server.show(in_days(5))
    server.close()
    assert certificates(server.url) == []


def test_one_who_speaks_no_tls_shows_no_certificate() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        assert certificates(f"https://{HOST}:{listener.getsockname()[1]}/") == []
        thread.join()


@pytest.mark.long
def test_a_service_tells_of_the_certificate_that_its_visitors_are_shown(server: TlsServer, tmp_path: Path) -> None:
    server.show(in_days(4))
    service = Service(tmp_path / "data")
    service.add_account("ada", "correct horse")
    config = service.data / "safehold.toml"
    text = config.read_text()
    assert 'public_url = ""' in text
    config.write_text(text.replace('public_url = ""', f'public_url = "{server.url}"'))
    service.start()
    try:
        until(lambda: f"certificate ends/{HOST}" in {alarm["name"] for alarm in service.status()["alarms"]["open"]})
    finally:
        service.close()
    assert server.visits
