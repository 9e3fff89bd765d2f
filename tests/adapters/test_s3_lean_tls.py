"""S3 through obstore over TLS: whom it trusts."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cryptovol.adapters import s3lean
from cryptovol.errors import StoreUnavailableError

from tests.adapters.buckets import scripted

AUTHORITY = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
SERVER = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-central-1"}


def signed(subject: x509.Name, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a certificate of today in PEM: of the authority by itself, or of the server by the authority."""
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    built = (
        x509.CertificateBuilder(AUTHORITY, subject, key.public_key(), x509.random_serial_number(), now - day, now + day)
        .add_extension(x509.BasicConstraints(ca=subject == AUTHORITY, path_length=None), critical=True)
        .add_extension(address, critical=False)
        .sign(signer, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def served(tmp_path: Path) -> ssl.SSLContext:
    """Return what a server speaks TLS with; the authority behind it is in `tmp_path`."""
    authority, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    (tmp_path / "authority.pem").write_bytes(signed(AUTHORITY, authority, authority))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    secret = own.private_bytes(serialization.Encoding.PEM, *plain)
    (tmp_path / "server.pem").write_bytes(signed(SERVER, own, authority) + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    return context


@pytest.mark.parametrize("trusted", [True, False])
def test_server_is_believed_only_if_the_system_trusts_who_vouches_for_it(
    served: ssl.SSLContext, trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's certificates decide, wherever OpenSSL's variable puts them; a stranger learns nothing."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    with scripted(served) as script:
        script.add(200, b"1", ETag='"t"')
        store = s3lean.from_environ("data", {**KEYS, "AWS_ENDPOINT_URL": script.url})
        assert store is not None
        if trusted:
            assert store.get("k").data == b"1"
        else:
            with pytest.raises(StoreUnavailableError, match="cannot read k in bucket data: .*UnknownIssuer"):
                store.get("k")
            assert script.asked == []
