"""`waypost up` as its users run it: start, redirect, count, stop, crash and restart."""

import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.kit.engines import Engine, eventually, total_clicks, waypost

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def engine(folder: Path) -> Iterator[Engine]:
    started = Engine(folder, "--demo=links")
    yield started
    started.kill()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Run one engine for the tests that leave it running."""
    started = Engine(tmp_path_factory.mktemp("shared") / "data", "--demo=links")
    yield started
    started.kill()


def visit(client: httpx.Client, path: str, times: int) -> None:
    for _ in range(times):
        response = client.get(path)
        assert response.status_code == 302, response.text


def demo_id(client: httpx.Client) -> str:
    profiles = client.get("/v1/profiles").json()["items"]
    profile_id: str = next(p["id"] for p in profiles if p["handle"] == "demo")
    return profile_id


def test_redirects_are_counted_and_survive_kill_9_and_sigterm(engine: Engine, folder: Path) -> None:
    with httpx.Client(base_url=engine.visitors) as visitor:
        response = visitor.get("/demo/spring")
        assert response.headers["Location"] == "https://example.com/spring-collection"
        assert response.headers["Cache-Control"] == "private, no-store"
        visit(visitor, "/demo/spring", 99)
        assert visitor.head("/demo/spring").status_code == 302
        page = visitor.get("/@demo")
        assert page.status_code == 200
        assert "Spring collection" in page.text
    engine.kill()  # before the clicks are committed

    restarted = Engine(folder)
    try:
        restarted.wait_committed()
        with restarted.api() as client:
            profile = demo_id(client)
            response = client.get(f"/v1/profiles/{profile}/stats").json()
            assert response["totals"]["clicks"] == 100
            assert response["totals"]["views"] == 1
            with httpx.Client(base_url=restarted.visitors) as visitor:
                visit(visitor, "/demo/shop", 10)
            restarted.wait_committed()
            assert total_clicks(client, profile) == 110
        assert restarted.stop() == 0
        # Both journals are committed, and kept for a while: Postgres may lose what it has counted.
        assert len(list((folder / "journals").glob("*/*.segment"))) == 2
        assert "Traceback" not in restarted.output()
    finally:
        restarted.kill()


def test_every_role_comes_back_after_kill_9(engine: Engine) -> None:
    with engine.api() as client, httpx.Client(base_url=engine.visitors, timeout=10) as visitor:
        profile = demo_id(client)
        visit(visitor, "/demo/spring", 5)
        for role in ("edge", "workers", "api"):
            pid = engine.pids(role)[0]
            os.kill(pid, signal.SIGKILL)
            eventually(lambda role=role, pid=pid: [p for p in engine.pids(role) if p != pid])
        # A new connection, because the old one ended with its edge. The kernel queues it until an edge accepts.
        with httpx.Client(base_url=engine.visitors, timeout=10) as fresh:
            visit(fresh, "/demo/spring", 5)
        engine.wait_committed()
        eventually(lambda: total_clicks(client, profile) == 10)
        assert httpx.get(f"{engine.console}/readyz").status_code == 200


def test_visitors_get_a_changed_link_within_a_second(shared: Engine) -> None:
    with shared.api() as client, httpx.Client(base_url=shared.visitors) as visitor:
        profile = demo_id(client)
        link = client.get(f"/v1/profiles/{profile}/links").json()["items"][0]
        path = f"/demo/{link['slug']}"
        visit(visitor, path, 1)
        assert visitor.get("/demo/later").status_code == 404

        changed = client.patch(f"/v1/links/{link['id']}", json={"target": "https://example.com/v2"})
        assert changed.status_code == 200
        created = client.post(
            f"/v1/profiles/{profile}/links", json={"slug": "later", "target": "https://b.example/"}
        )
        assert created.status_code == 201
        eventually(
            lambda: visitor.get(path).headers["Location"] == "https://example.com/v2", limit_s=1.0
        )
        eventually(lambda: visitor.get("/demo/later").status_code == 302, limit_s=1.0)
        assert client.delete(f"/v1/links/{created.json()['id']}").status_code == 204
        eventually(lambda: visitor.get("/demo/later").status_code == 404, limit_s=1.0)


def test_owner_file_is_for_its_user_only(shared: Engine) -> None:
    assert stat.S_IMODE((shared.folder / "owner.json").stat().st_mode) == 0o600
    assert shared.owner["visitors_url"] == shared.visitors
    assert shared.owner["console_url"] == shared.console
    assert shared.owner["email"]
    assert shared.owner["password"]


def test_the_owner_logs_in_by_cookie(shared: Engine) -> None:
    login = {"email": shared.owner["email"], "password": shared.owner["password"]}
    with httpx.Client(base_url=shared.console, timeout=10) as browser:
        assert browser.post("/v1/session", json=login | {"password": "no"}).status_code == 401
        response = browser.post("/v1/session", json=login)
        assert response.status_code == 201, response.text
        assert "HttpOnly" in response.headers["Set-Cookie"]
        csrf = {"X-CSRF-Token": response.json()["csrf_token"]}
        assert browser.get("/v1/session").json()["user"]["email"] == login["email"]
        assert demo_id(browser)
        assert browser.post("/v1/profiles", json={"handle": "ada"}).status_code == 403
        assert browser.post("/v1/profiles", json={"handle": "ada"}, headers=csrf).status_code == 201

        key = browser.post("/v1/keys", json={"label": "k", "scopes": ["read"]}, headers=csrf).json()
        bearer = {"Authorization": f"Bearer {key['key']}"}
        with httpx.Client(base_url=shared.console, headers=bearer, timeout=10) as script:
            assert script.get("/v1/profiles").status_code == 200
            assert script.post("/v1/profiles", json={"handle": "eve"}).status_code == 403

            def used() -> bool:
                profile_id = browser.get("/v1/keys").json()["items"]
                return any(k["id"] == key["id"] and k["last_used_at"] for k in profile_id)

            eventually(used)
            assert browser.delete(f"/v1/keys/{key['id']}", headers=csrf).status_code == 204
            assert script.get("/v1/profiles").status_code == 401

        assert browser.delete("/v1/session", headers=csrf).status_code == 204
        assert browser.get("/v1/session").status_code == 401


@pytest.mark.thorough
def test_import_while_running_and_while_not(engine: Engine, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "links.csv"
    good = [f"shop{i % 7},item-{i},https://example.com/{i},Item {i}\n" for i in range(12_001)]
    bad = ["nobody,x,javascript:alert(1),\n", 'a,"open,https://example.com/,\n', "only,two\n"]
    file.write_text("handle,slug,target,title\n" + "".join(good[:6000] + bad + good[6000:]))

    first = waypost("import", str(file), "--data", str(folder))
    assert first.returncode == 1, first.stderr
    assert "12001 created, 0 updated, 0 unchanged, 3 rejected" in first.stdout.splitlines()[-1]
    rejects = (tmp_path / "links.csv.rejects.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in rejects] == ["line", "6002", "6003", "6004"]
    with httpx.Client(base_url=engine.visitors) as visitor:
        for i in (0, 4_999, 5_000, 6_001, 12_000):  # batches meet at 5,000
            location = visitor.get(f"/shop{i % 7}/item-{i}").headers["Location"]
            assert location == f"https://example.com/{i}"

    assert engine.stop() == 0
    second = waypost("import", str(file), "--data", str(folder))
    assert "0 created, 0 updated, 12001 unchanged, 3 rejected" in second.stdout, second.stderr


@pytest.mark.thorough
def test_edges_share_the_port(folder: Path) -> None:
    engine = Engine(folder, "--demo=links", "--edges", "2")
    try:
        assert len(engine.pids("edge")) == 2
        for _ in range(40):
            assert httpx.get(f"{engine.visitors}/demo/spring").status_code == 302
        engine.wait_committed()
        with engine.api() as client:
            assert total_clicks(client, demo_id(client)) == 40
        assert engine.stop() == 0
    finally:
        engine.kill()


@pytest.mark.thorough
def test_serve_on_existing_servers(folder: Path, database_url: str, redis_url: str) -> None:
    urls = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    migrated = waypost("migrate", **urls)
    assert migrated.returncode == 0, migrated.stderr
    engine = Engine(folder, command="serve", **urls)
    try:
        with engine.api() as client:
            profile = client.post("/v1/profiles", json={"handle": "ada"}).json()
            link = {"slug": "x", "target": "https://example.com/"}
            assert client.post(f"/v1/profiles/{profile['id']}/links", json=link).status_code == 201
            assert httpx.get(f"{engine.visitors}/ada/x").status_code == 302
            engine.wait_committed()
            assert total_clicks(client, profile["id"]) == 1
        assert engine.stop() == 0
    finally:
        engine.kill()


def one_line(*arguments: str, **environment: str) -> str:
    """Run a command that must be refused with exit code 2 and one line. Returns the line."""
    process = waypost(*arguments, **environment)
    assert process.returncode == 2, (process.stdout, process.stderr)
    lines = process.stderr.strip().splitlines()
    assert len(lines) == 1, process.stderr
    assert lines[0].startswith("waypost: ")
    return lines[0]


def test_a_second_run_on_the_folder_is_refused(shared: Engine) -> None:
    assert str(shared.process.pid) in one_line("up", "--data", str(shared.folder))


def test_a_taken_port_is_refused(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = ("up", "--data", str(folder), "--visitors-port", port)
        assert f"127.0.0.1:{port}" in one_line(*arguments, "--console-port", "0")
        assert f"127.0.0.1:{port}" in one_line(*arguments, "--console-port", "0", "--edges", "2")


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("WAYPOST_JOURNAL_SYNC_MS", "soon", "must be a whole number"),
        ("WAYPOST_TRUSTED_HOPS", "-1", "must be between"),
        ("WAYPOST_JOURNAL_SYNCMS", "5", "is not a setting"),
        ("DATABASE_URL", "mysql://localhost/", "must be a URL"),
        ("DATABASE_URL", "postgresql://localhost/x", "DATABASE_URL is set, REDIS_URL is missing"),
        ("WAYPOST_LOG_FORMAT", "xml", "must be one of text, json"),
    ],
)
def test_bad_settings_are_refused(folder: Path, setting: str, value: str, message: str) -> None:
    line = one_line("up", "--data", str(folder), **{setting: value})
    assert setting in line
    assert message in line


def test_an_unreachable_database_is_refused(folder: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        urls = {
            "DATABASE_URL": f"postgresql://nobody:secret@127.0.0.1:{port}/none",
            "REDIS_URL": f"redis://127.0.0.1:{port}",
        }
        line = one_line(
            "up", "--data", str(folder), "--visitors-port", "0", "--console-port", "0", **urls
        )
    assert "Postgres" in line
    assert "secret" not in line


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert str(file) in one_line("up", "--data", str(file / "data"))


@pytest.mark.parametrize(
    "arguments",
    [("bogus",), ("up", "--edges", "0"), ("up", "--bogus"), ("import", "/nonexistent.csv"),
     ("serve", "--roles", "edge"), ("serve", "--roles", "bogus"), ("migrate",)],
)  # fmt: skip
def test_wrong_commands_are_refused(folder: Path, arguments: tuple[str, ...]) -> None:
    data = ("--data", str(folder)) if arguments[0] in ("up", "import", "serve") else ()
    one_line(*arguments, *data)
