"""Key and certificate of a vault server, by which its guests know it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from safehold.adapters.vault_http import key_digest
from safehold.model.errors import OperatorError
from safehold.ports.disk import Disk
from safehold.ports.whole_file import write_whole

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_CERTIFICATE_DAYS = 20 * 365


def make_certificate(disk: Disk, certificate: Path, key: Path, url: str) -> None:
    """A certificate that signs itself, for the key that is there: guests know it. Else for a new one.

    Raises OperatorError.
    """
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address
    from urllib.parse import urlsplit

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    secret = _key_there(key)
    is_new = secret is None
    secret = secret or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a vault server of Safehold")])
    host = urlsplit(url).hostname or "localhost"
    named: x509.GeneralName = x509.DNSName(host)
    with suppress(ValueError):
        named = x509.IPAddress(ip_address(host))
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName([named]), critical=False)
        .sign(secret, hashes.SHA256())
    )
    try:
        if is_new:
            write_whole(disk, str(key), secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        write_whole(disk, str(certificate), made.public_bytes(Encoding.PEM))
    except OSError as error:
        raise OperatorError(f"no certificate could be made in {key.parent}: {error.strerror}") from error


def _key_there(path: Path) -> EllipticCurvePrivateKey | RSAPrivateKey | None:
    """None where there is no key. Raises OperatorError where it cannot be used: it is never replaced."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise OperatorError(
            f"the key {path} cannot be read: {error}", hint="bring back a copy of it: guests know the server by it"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise OperatorError(f"the key {path} is of a sort that this program makes no certificate for")
    return key


def pin_of(certificate: Path) -> bytes:
    """SHA-256 of the public key in a certificate. Raises OperatorError."""
    import ssl

    try:
        der = ssl.PEM_cert_to_DER_cert(_first_certificate(certificate.read_text(encoding="ascii")))
        return key_digest(der)
    except (OSError, ValueError) as error:
        raise OperatorError(f"the certificate {certificate} cannot be read: {error}") from error


def _first_certificate(pem: str) -> str:
    end = "-----END CERTIFICATE-----"
    return pem[: pem.index(end) + len(end)]
