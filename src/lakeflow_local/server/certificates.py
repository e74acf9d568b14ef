"""The workspace's own certificates, for clients that need https (`--tls`).

An authority signs one certificate and is then discarded: its key is never written, so clients that
trust it trust only this server. Both are renewed a month before they expire.
Source: RFC 5280, and the strict checks of OpenSSL in Python 3.13.
"""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from lakeflow_local.errors import UsageError

VALID_DAYS = 397
"""The maximum that browsers accept."""
RENEWAL_DAYS = 30
TRUST_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
"""Variables that name a file of trusted authorities: for OpenSSL, Go and uv, and for requests."""


@dataclass(frozen=True)
class Certificates:
    """Paths of the certificates.

    `chain` is the server's certificate and its authority's; `bundle` is all authorities that a
    client trusted before, and this one.
    """

    key: Path
    chain: Path
    authority: Path
    bundle: Path

    def variables(self) -> dict[str, str]:
        """Return variables that make OpenSSL, Go, requests and Node.js trust the server."""
        bundle = dict.fromkeys(TRUST_VARIABLES, str(self.bundle))
        return {**bundle, "NODE_EXTRA_CA_CERTS": str(self.authority)}


def find(folder: Path) -> Certificates:
    """Return the paths of a workspace's certificates, which need not exist."""
    names = ("key.pem", "chain.pem", "authority.pem", "bundle.pem")
    return Certificates(*(folder / "tls" / name for name in names))


def check_library() -> None:
    """Check that the packages that certificates need are installed.

    Raises:
        UsageError: One is not.
    """
    if any(importlib.util.find_spec(name) is None for name in ("certifi", "cryptography")):
        raise UsageError(
            "--tls needs the packages certifi and cryptography\n"
            "hint: install it with `pip install 'lakeflow-local[tls]'`"
        )


def ensure(folder: Path, address: str) -> Certificates:
    """Return a workspace's certificates, creating or renewing them if necessary.

    For an `address` other than 127.0.0.1 they also cover the name of this machine.

    Raises:
        UsageError: The package that creates them is not installed.
    """
    from lakeflow_local.storage.files import write_atomically

    check_library()
    found = find(folder)
    found.key.parent.mkdir(mode=0o700, exist_ok=True)
    names = {"localhost", "127.0.0.1"}
    if address not in names:
        names |= {address, socket.gethostname()}
    if not _is_valid(found, names):
        key, certificate, authority = _create(sorted(names))
        write_atomically(found.key, key)
        found.key.chmod(0o600)
        write_atomically(found.authority, authority)
        write_atomically(found.chain, certificate + authority)
    trusted = [file.read_bytes().rstrip() for file in (*_trusted_files(found), found.authority)]
    write_atomically(found.bundle, b"\n".join(trusted) + b"\n")
    return found


def _is_valid(found: Certificates, names: Collection[str]) -> bool:
    """Return whether a certificate covers these names and does not expire soon."""
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(found.chain.read_bytes())
    except (OSError, ValueError):
        return False
    end = certificate.not_valid_after_utc
    known = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if not {str(name.value) for name in known} >= set(names):
        return False
    return end > datetime.now(timezone.utc) + timedelta(days=RENEWAL_DAYS) and found.key.exists()


def _trusted_files(found: Certificates) -> list[Path]:
    """Return the files of authorities in this environment's variables, else that of certifi."""
    named = dict.fromkeys(os.environ.get(name, "") for name in TRUST_VARIABLES)
    files = [Path(name) for name in named if name and name != str(found.bundle)]
    if not files:
        import certifi

        files = [Path(certifi.where())]
    return [file for file in files if file.is_file()]


def _create(names: Collection[str]) -> tuple[bytes, bytes, bytes]:
    """Create a key, its certificate for these names, and that of its authority, as PEM."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def usage(*, signs_certificates: bool) -> x509.KeyUsage:
        return x509.KeyUsage(
            digital_signature=not signs_certificates,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=signs_certificates,
            crl_sign=signs_certificates,
            encipher_only=False,
            decipher_only=False,
        )

    def named(name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

    authority_key = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = named("local workspace of lakeflow")
    begin = datetime.now(timezone.utc) - timedelta(hours=1)  # for clocks that are slow
    builder = (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=VALID_DAYS))
    )
    authority = (
        builder.subject_name(issuer)
        .serial_number(x509.random_serial_number())
        .public_key(authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage(signs_certificates=True), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    certificate = (
        builder.subject_name(named("localhost"))
        .serial_number(x509.random_serial_number())
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName(
                [
                    (
                        x509.IPAddress(ipaddress.ip_address(name))
                        if name.replace(".", "").isdecimal()
                        else x509.DNSName(name)
                    )
                    for name in names
                ]
            ),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    pem_key = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem_key, certificate.public_bytes(Encoding.PEM), authority.public_bytes(Encoding.PEM)
