"""`waypost mcp` as assistants start it, on a running engine."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.kit.engines import ROOT, Engine, environment, eventually, waypost

# The library takes 1.5 s, and each worker collects these tests.
if TYPE_CHECKING:
    from mcp import Client, StdioServerParameters

pytestmark = pytest.mark.slow
TARGET = "https://example.com/mcp"
TOOLS = {"create_link", "find_links", "update_link", "delete_link", "link_stats"}


@pytest.fixture
def engine(running_engine: Engine) -> Engine:
    return running_engine


def stdio(engine: Engine) -> "StdioServerParameters":
    from mcp import StdioServerParameters

    arguments = ["-m", "api.command", "mcp", "--data", str(engine.folder)]
    return StdioServerParameters(
        command=sys.executable, args=arguments, env=environment(), cwd=str(ROOT)
    )


async def answer(client: "Client", tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    content = result.structured_content
    assert isinstance(content, dict)
    return content


async def refusal(client: "Client", tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    text = "".join(getattr(part, "text", "") for part in result.content)
    assert "Traceback" not in text
    return text


async def test_an_assistant_keeps_links_over_stdio(engine: Engine) -> None:
    from mcp import Client

    with trio.fail_after(60):
        async with Client(stdio(engine)) as client:
            tools = (await client.list_tools()).tools
            assert {tool.name for tool in tools} == TOOLS
            assert all(tool.description for tool in tools)
            assert all("context" not in tool.input_schema["properties"] for tool in tools)

            link = await answer(client, "create_link", target=TARGET, slug="talk", tags=["x"])
            assert link["short_url"] == f"{engine.visitors}/talk"
            found = await answer(client, "find_links", text="talk", tag="x")
            assert [each["id"] for each in found["links"]] == [link["id"]]
            changed = await answer(client, "update_link", link="talk", target=TARGET + "/2")
            assert (changed["target"], changed["tags"]) == (TARGET + "/2", ["x"])
            options = {
                "click_limit": 7,
                "utm": {"source": "chat"},
                "active_until": "2030-01-01T00:00:00Z",
            }
            changed = await answer(client, "update_link", link="talk", options=options)
            assert {name: changed[name] for name in options} == options
            back = await answer(client, "update_link", link="talk", options={"click_limit": None})
            assert (back["click_limit"], back["utm"]) == (None, {"source": "chat"})
            stats = await answer(client, "link_stats", link="talk", period="7d")
            assert stats["totals"].keys() >= {"clicks", "visitors"}
            assert (await answer(client, "link_stats", group="country"))["rows"] is not None

            assert "target" in await refusal(client, "create_link", target="javascript:x")
            for bad in ({"colour": "red"}, {"slug": "x"}, {"click_limit": 0}):
                text = await refusal(client, "create_link", target=TARGET, options=bad)
                assert next(iter(bad)) in text
            assert "no link" in await refusal(client, "update_link", link="nothing", title="x")
            assert "period" in await refusal(client, "link_stats", period="soon")
            assert "profile" in await refusal(client, "find_links", profile="nobody")
            deleted = await answer(client, "delete_link", link="talk")
            assert deleted == {"deleted": link["short_url"]}
            assert "no link" in await refusal(client, "delete_link", link="talk")


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture
def http_url(engine: Engine, tmp_path: Path) -> Iterator[str]:
    """Run `waypost mcp --http`, stop it by SIGTERM, and look at its output."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = ["mcp", "--http", str(port), "--data", str(engine.folder)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "api.command", *arguments],
            env=environment(), cwd=ROOT, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        eventually(lambda: answers(port), 30)
        yield f"http://127.0.0.1:{port}/mcp"
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        assert "Traceback" not in (tmp_path / "log").read_text()
    finally:
        process.kill()
        process.wait(20)


async def test_callers_over_http_have_their_own_keys(engine: Engine, http_url: str) -> None:
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    headers = {"Authorization": f"Bearer {engine.owner['api_key']}"}
    with trio.fail_after(60):
        async with Client(http_url) as stranger:
            assert "key" in await refusal(stranger, "find_links")
        async with (
            httpx2.AsyncClient(headers=headers) as http,
            Client(streamable_http_client(http_url, http_client=http)) as owner,
        ):
            link = await answer(owner, "create_link", target=TARGET)
            assert link["target"] == TARGET


def test_a_missing_key_is_one_line(tmp_path: Path) -> None:
    process = waypost("mcp", "--data", str(tmp_path))
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.startswith("waypost: there is no ")
    assert process.stderr.count("\n") == 1
