"""A cluster that asks for TLS, a user and a password."""

import datetime
import ipaddress
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.load.processes import free_ports
from bench.servers.redis_cluster import RedisCluster
from engine.clicks.batch import Batch
from engine.common.errors import UnavailableError
from engine.links.profile import ProfileChange
from storage.clicks.stream import RedisClickStream
from storage.redis.client import RedisServer
from storage.visits.announcer import RedisAnnouncer
from tests.kit.hosted import hosted_run

REDIS = shutil.which("redis-server") or ""

pytestmark = [
    pytest.mark.trio(run=hosted_run),
    pytest.mark.slow,
    pytest.mark.skipif(not REDIS, reason="needs redis-server: apt-get install redis-server"),
]


class TlsCluster(NamedTuple):
    """Port of the one node, and the file of the certificate that signs itself."""

    port: int
    certificate: Path

    def url(self, credentials: str = "waypost:p%40ss", options: str = "", seed: str = "") -> str:
        ca = f"ssl_ca_certs={self.certificate}"
        return f"rediss+cluster://{credentials}@{seed}127.0.0.1:{self.port}?{options or ca}"


@pytest.fixture(scope="module")
def tls_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsCluster]:
    certificate, key = make_certificate(tmp_path_factory.mktemp("tls"))
    port = free_ports(1)[0]
    settings = {
        "tls-port": str(port),
        "tls-cert-file": str(certificate),
        "tls-key-file": str(key),
        "tls-ca-cert-file": str(certificate),
        "tls-auth-clients": "no",
        "tls-cluster": "yes",
        "user": "waypost on >p@ss ~waypost:* &waypost:* +@all",
    }
    with RedisCluster(1, replicas=False, program=REDIS, settings=settings):
        yield TlsCluster(port, certificate)


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate of 127.0.0.1, and its key. Returns both files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "waypost test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


async def test_commands_and_subscriptions_use_tls_and_the_user(tls_cluster: TlsCluster) -> None:
    server = await RedisServer.open(tls_cluster.url(seed="127.0.0.1:1,"), size=2)
    try:
        stream, journal, batch = RedisClickStream(server), uuid4(), Batch(1, 2, b"x")
        assert await stream.add(journal, 0, batch)
        assert await stream.read(journal, 0, 10, 50) == [batch]
        announcer = RedisAnnouncer(server)
        async with announcer.listen() as changes:
            await announcer.announce([ProfileChange(1, 1, False)])
            with trio.fail_after(5):
                assert (await anext(changes)).profile_id == 1
    finally:
        await server.close()


@pytest.mark.parametrize(
    ("credentials", "options", "reason"),
    [
        ("waypost:wrong", "", "invalid username-password"),
        ("waypost:p%40ss", "ssl_check_hostname=yes", "certificate verify failed"),
    ],
)
async def test_a_refusal_is_an_outage(
    tls_cluster: TlsCluster, credentials: str, options: str, reason: str
) -> None:
    server = await RedisServer.open(tls_cluster.url(credentials, options), size=2)
    try:
        with trio.fail_after(10), pytest.raises(UnavailableError, match=reason):
            await server.ping()
    finally:
        await server.close()
