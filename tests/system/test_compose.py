"""The example of containers in docs/compose: its names are the engine's, and Caddy takes its file."""

import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import yaml

from api.command.commands import cli
from engine.operations import settings
from engine.operations.settings import Settings
from storage.embedded import EmbeddedServers
from tests.conftest import on_connection
from tests.kit.consoles import Console
from tests.kit.engines import ROOT, Engine, eventually

FOLDER = ROOT / "docs" / "compose"
HOST = "go.example.com"
CADDY = shutil.which("caddy")


def services() -> dict[str, Any]:
    text = re.sub(r"\$\{DOMAIN:\?[^}]+\}", HOST, (FOLDER / "compose.yaml").read_text())
    assert "${" not in text
    compose: dict[str, Any] = yaml.safe_load(text)
    assert compose.keys() == {"services", "volumes"}
    parts: dict[str, Any] = compose["services"] | {"volumes": compose["volumes"]}
    return parts


def caddyfile(upstream: str = "127.0.0.1") -> str:
    """Return the file as Caddy reads it."""
    text = (FOLDER / "Caddyfile").read_text()
    return re.sub(r"\{\$WAYPOST_UPSTREAM:127\.0\.0\.1\}", upstream, text)


def configured() -> Settings:
    """Return the settings of the engine's container, as a start reads them."""
    return settings.read(services()["waypost"]["environment"])


def test_each_setting_of_the_container_is_the_engines() -> None:
    read = configured()
    assert read.visitors_url == f"https://{HOST}"
    assert (read.visitors_host, read.console_host) == ("0.0.0.0", "0.0.0.0")
    assert read.trusted_hops == 1
    assert urlsplit(read.console_url).port == read.console_port


def test_the_commands_of_the_container_are_the_programs() -> None:
    waypost = services()["waypost"]
    name, *words = waypost["command"]
    assert cli.commands[name].make_context(name, words).params["folder"] == Path("/data")
    dockerfile = (FOLDER / "Dockerfile").read_text()
    assert 'ENTRYPOINT ["waypost"]' in dockerfile
    assert (FOLDER / waypost["build"]["context"] / waypost["build"]["dockerfile"]).is_file()
    assert (FOLDER / waypost["build"]["context"]).resolve() == ROOT
    # The wheel's core is of the Python that it was built with.
    build, run = re.findall(r"FROM python:3\.(\d+)(?: AS build|-slim)\n", dockerfile)
    assert 11 <= int(build) == int(run) <= 13
    assert (ROOT / "constraints.txt").is_file()
    healthcheck = waypost["healthcheck"]["test"][-1]
    asked = re.search(r"'http://127\.0\.0\.1:(\d+)(/\w+)'", healthcheck)
    assert asked is not None
    assert (int(asked[1]), asked[2]) == (configured().console_port, "/readyz")


def test_each_port_leads_from_the_internet_to_caddy_and_from_there_to_the_engine() -> None:
    compose, read = services(), configured()
    console, visitors = read.console_port, read.visitors_port
    assert compose["waypost"]["ports"] == [f"127.0.0.1:{console}:{console}"]
    assert compose["caddy"]["ports"] == ["80:80", "443:443", "443:443/udp"]
    upstream = compose["caddy"]["environment"]["WAYPOST_UPSTREAM"]
    assert upstream in compose
    for host in (upstream, "127.0.0.1"):
        text = caddyfile(host)
        assert "$" not in text
        assert f"ask http://{host}:{console}/internal/tls-ask\n" in text
        assert f"reverse_proxy {host}:{visitors}\n" in text


async def test_what_caddy_asks_is_a_route_of_the_console() -> None:
    answer = await Console().call("GET", "/internal/tls-ask?domain=a.example", key="")
    assert answer.json["detail"] == "there is no such domain"
    assert (await Console().call("GET", "/readyz", key="")).status in (200, 503)


def test_each_volume_is_declared_and_each_file_is_there() -> None:
    compose = services()
    used = set()
    for name in ("waypost", "caddy"):
        for volume in compose[name]["volumes"]:
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (FOLDER / source).is_file()
            else:
                used.add(source)
    assert used == compose["volumes"].keys()
    assert compose["caddy"]["depends_on"] == {"waypost": {"condition": "service_healthy"}}


class RunningCaddy:
    """Caddy with the example's file before an engine, on free ports, with certificates of its own authority."""

    def __init__(self, folder: Path, engine: Engine, visitors_port: int) -> None:
        self.folder = folder
        self.http_port, self.https_port = free_port(), free_port()
        text = caddyfile()
        read, console_port = configured(), urlsplit(engine.console).port
        for port, own in ((read.console_port, console_port), (read.visitors_port, visitors_port)):
            assert text.count(f":{port}") == 1
            text = text.replace(f":{port}", f":{own}")
        options = (
            f"http_port {self.http_port}", f"https_port {self.https_port}", "local_certs",
            "skip_install_trust", "admin off",
        )  # fmt: skip
        text = re.sub(r"^\{$", "{\n\t" + "\n\t".join(options), text, count=1, flags=re.MULTILINE)
        self.file = folder / "Caddyfile"
        self.file.write_text(text)

    def command(self, *words: str) -> list[str]:
        assert CADDY is not None
        return [CADDY, *words, "--config", str(self.file), "--adapter", "caddyfile"]

    @property
    def environment(self) -> dict[str, str]:
        homes = {name: str(self.folder) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
        return dict(os.environ) | homes

    def ask(self, host: str, path: str) -> tuple[int, str]:
        """Return the status and the Location that a visitor of a host gets. Raises OSError if it has no
        certificate."""
        root = self.folder / "caddy" / "pki" / "authorities" / "local" / "root.crt"
        context = ssl.create_default_context(cafile=str(root))
        address = ("127.0.0.1", self.https_port)
        with (
            socket.create_connection(address, 10) as connection,
            context.wrap_socket(connection, server_hostname=host) as stream,
        ):
            stream.sendall(
                f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
            )
            head = (
                b"".join(iter(lambda: stream.recv(65_536), b"")).partition(b"\r\n\r\n")[0].decode()
            )
        location = re.search(r"^location: (\S+)", head, re.MULTILINE | re.IGNORECASE)
        return int(head.split()[1]), location[1] if location else ""


@contextmanager
def running(caddy: RunningCaddy) -> Iterator[None]:
    with (caddy.folder / "log").open("wb") as log:
        process = subprocess.Popen(
            caddy.command("run"), env=caddy.environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        eventually(lambda: "serving initial configuration" in (caddy.folder / "log").read_text())
        yield
    finally:
        process.terminate()
        process.wait(20)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.large
@pytest.mark.skipif(CADDY is None, reason="there is no caddy: apt install caddy")
def test_caddy_gets_certificates_for_the_engines_hosts_and_for_no_other(tmp_path: Path) -> None:
    port = free_port()
    engine = Engine(
        tmp_path / "data", "--visitors-port", str(port),
        WAYPOST_VISITORS_URL=f"https://{HOST}", WAYPOST_TRUSTED_HOPS="1",
    )  # fmt: skip
    try:
        with engine.api() as client:
            body = {"slug": "spring", "target": "https://example.com/"}
            link = client.post("/v1/links", json=body).json()
            path = f"/v1/profiles/{link['profile_id']}/domains"
            for host in ("links.example.com", "pending.example.com"):
                assert client.post(path, json={"host": host}).status_code == 201
        on_connection(EmbeddedServers(engine.folder).database_url, verify)
        caddy = RunningCaddy(tmp_path, engine, port)
        validated = subprocess.run(
            caddy.command("validate"), env=caddy.environment, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert validated.returncode == 0, validated.stderr
        with running(caddy):
            assert caddy.ask(HOST, "/spring") == (302, "https://example.com/")
            domain = ("links.example.com", "/spring")
            eventually(lambda: caddy.ask(*domain) == (302, "https://example.com/"))
            for host in ("pending.example.com", "other.example", "xn--bcher-kva.example"):
                with pytest.raises(OSError, match="internal error"):
                    caddy.ask(host, "/spring")
            plain = socket.create_connection(("127.0.0.1", caddy.http_port), 10)
            with plain:
                plain.sendall(
                    b"GET /spring HTTP/1.1\r\nHost: go.example.com\r\nConnection: close\r\n\r\n"
                )
                assert plain.recv(1_024).split()[1] == b"308"
    finally:
        assert engine.stop() == 0


async def verify(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    done = await connection.execute(
        "UPDATE waypost.domains SET state = 'verified', verified_at = now() WHERE host = 'links.example.com'"
    )
    assert done == "UPDATE 1"
