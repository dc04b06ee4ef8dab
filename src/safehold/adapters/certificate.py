"""Until when the certificate of a TLS server holds, as whoever connects is shown it."""

from __future__ import annotations

import socket
import ssl

from safehold.adapters.http import TIMEOUT_SECONDS

_MICROSECONDS = 1_000_000


def certificate_end(host: str, port: int = 443, *, timeout_seconds: float = TIMEOUT_SECONDS) -> int:
    """µs. Neither its names nor who signed it is checked here: only its end. Raises OSError where nobody answers."""
    from cryptography import x509

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # one that has ended is to be seen as well
    with (
        socket.create_connection((host, port), timeout=timeout_seconds) as plain,
        context.wrap_socket(plain, server_hostname=host) as wrapped,
    ):
        shown = wrapped.getpeercert(binary_form=True)
    if not shown:
        raise OSError(f"{host}:{port} shows no certificate")
    try:
        end = x509.load_der_x509_certificate(shown).not_valid_after_utc
    except ValueError as error:
        raise OSError(f"{host}:{port} shows a certificate that cannot be read: {error}") from error
    return int(end.timestamp()) * _MICROSECONDS
