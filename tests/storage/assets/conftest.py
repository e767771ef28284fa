"""An S3 server of moto on the loopback, and a bucket of it for each test."""

import logging
from collections.abc import Iterator

import httpx
import pytest


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    """Return the URL of the server."""
    from moto.server import ThreadedMotoServer  # which takes 0.5 s

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URL of a new bucket. The environment has what leads to it."""
    variables = {
        "AWS_ENDPOINT_URL": s3_server, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
    }  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    httpx.post(f"{s3_server}/moto-api/reset").raise_for_status()
    httpx.put(f"{s3_server}/pictures").raise_for_status()
    return "s3://pictures/live"
