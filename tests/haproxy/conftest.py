"""A certificate, and one load balancer in front of two nodes for all tests that kill nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from haproxy_process import Balancer, Node, nodes, stand_alone


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificate and key of localhost in one file in its own folder; `public.pem` above it is the certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "certs").mkdir()
    public = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "public.pem").write_bytes(public)
    (folder / "certs" / "localhost.pem").write_bytes(public + private)
    return folder / "certs" / "localhost.pem"


@pytest.fixture(scope="session")
def two_nodes() -> Iterator[dict[str, Node]]:
    with nodes("node-1", "node-2") as running:
        yield running


@pytest.fixture(scope="session")
def balancer(
    two_nodes: dict[str, Node], certificate: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Balancer]:
    """With shorter times and lower numbers, so that the tests wait less; the shipped ones are tried by `haproxy -c`."""
    changes = [
        ("timeout http-request 10s", "timeout http-request 2s"),
        ("wait-for-body time 20s", "wait-for-body time 2s"),
        ("timeout client 60s", "timeout client 2s"),
        ("sc_conn_cur(0) gt 2000", "sc_conn_cur(0) gt 60"),
    ]
    with stand_alone(tmp_path_factory.mktemp("h"), certificate, two_nodes, *changes) as running:
        for node in two_nodes:
            running.wait_for(node, "UP")
        yield running
