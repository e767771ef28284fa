"""Real servers for every test that asks for `database_url` or `redis_url`.

They are those of WAYPOST_TEST_DATABASE_URL and WAYPOST_TEST_REDIS_URL, else embedded ones that end
with the session. The database's user must be allowed to create databases and roles. Each test gets
a database of its own, cloned from one that is migrated once a session, and a Redis that is empty:
an outside one must be for tests only, as it is flushed.

A run of everything has two workers of pytest-xdist, each a session with servers of its own;
tests/kit/xdist_groups.py says which tests stay together.
"""

import gc
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import asyncpg
import pytest
import redis
from hypothesis import settings

from bench.servers import pgbouncer
from bench.servers.pgbouncer import PgBouncer
from storage.bridge import in_asyncio
from storage.embedded import EmbeddedServers
from storage.migrations import migrate
from storage.postgres.database import Database
from storage.visits.daily_keys import delete_key_stores
from tests.kit.hosted import hosted_run
from tests.kit.xdist_groups import Scheduling

pytest_plugins = [
    "tests.kit.browser",
    "tests.kit.dashboards",
    "tests.kit.running_engine",
    "tests.kit.stores",
]

T = TypeVar("T")
# Of a run of everything; more would not help, as many tests keep two processes busy.
WORKERS = 2
# The marks of a run of everything: of `pytest`, and of `.ci/check`.
WHOLE_MARKS = ("not large and not thorough", "not large")
# What a session's servers write takes less than 1 GiB in each worker.
MIN_MEMORY_BYTES = 4 << 30

# How long an example takes says nothing while other tests run beside it.
settings.register_profile("unhurried", settings(), deadline=None)
settings.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--pooler",
        action="store_true",
        help="let tests reach their databases through PgBouncer in transaction mode",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """A run of everything is spread over workers; a path, `-m`, `--pdb` or `-n 0` keep one process.

    Not in `addopts`, where it would start workers for a single file too, and end `-p no:xdist`.
    """
    option = config.option
    if "PYTEST_XDIST_WORKER" in os.environ or not config.pluginmanager.hasplugin("xdist"):
        return
    whole = config.args_source is config.ArgsSource.TESTPATHS and option.markexpr in WHOLE_MARKS
    if option.numprocesses is None and whole and not option.usepdb:
        option.numprocesses = WORKERS


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    """Ours, unless `--dist` asks for another."""
    return Scheduling(config, log) if config.option.dist == "load" else None


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Where Python is told to write no bytecode, keep it in pytest's cache: else each run, and each of the
    hundreds of processes that tests start, would compile the engine again."""
    if not os.environ.pop("PYTHONDONTWRITEBYTECODE", "") or sys.pycache_prefix:
        return
    cache: pytest.Cache | None = getattr(config, "cache", None)  # None with -p no:cacheprovider
    if cache is not None:
        folder = str(cache.mkdir("bytecode"))
    else:
        folder = tempfile.mkdtemp(prefix="waypost-bytecode-")
        config.add_cleanup(partial(shutil.rmtree, folder, ignore_errors=True))
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = folder
    sys.dont_write_bytecode = False


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without looking for garbage, which would be a third of the time: modules and tests stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a module's `trio(run=…)` stand: trio_mode gives each test a nearer mark with trio.run."""
    for item in items:
        for mark in item.iter_markers("trio"):
            if mark.kwargs.get("run") is hosted_run:
                item.add_marker(pytest.mark.trio(run=hosted_run), append=False)
                break


class Servers(NamedTuple):
    """Where to find both."""

    database_url: str
    redis_url: str


def memory_folder() -> str | None:
    """Return a folder in memory with room for the servers' data, None where there is none.

    A database in memory is cloned in a quarter of the CPU time that one on a disk takes.
    """
    shared = Path("/dev/shm")
    if "TMPDIR" in os.environ or not os.access(shared, os.W_OK):
        return None
    return str(shared) if shutil.disk_usage(shared).free >= MIN_MEMORY_BYTES else None


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    outside = Servers(
        os.environ.get("WAYPOST_TEST_DATABASE_URL", ""),
        os.environ.get("WAYPOST_TEST_REDIS_URL", ""),
    )
    if all(outside):
        yield outside
        return
    # Not pytest's own folder: its path would be too long for a unix socket.
    folder = Path(tempfile.mkdtemp(prefix="waypost-", dir=memory_folder()))
    try:
        with EmbeddedServers(folder, durable=False) as embedded:
            yield Servers(
                outside.database_url or embedded.database_url,
                outside.redis_url or embedded.redis_url,
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def pooler_in_between(request: pytest.FixtureRequest) -> Iterator[None]:
    """With --pooler, let the databases that tests open lead through PgBouncer."""
    if not request.config.getoption("--pooler"):
        yield
        return
    if not pgbouncer.program():
        pytest.skip("needs pgbouncer: apt-get install pgbouncer")
    server_url = request.getfixturevalue("servers").database_url
    open_directly = Database.open

    def open_pooled(url: str, **options: Any) -> Awaitable[Database]:
        same_server = with_database(url, "") == with_database(server_url, "")
        return open_directly(pooler.through(url) if same_server else url, **options)

    with PgBouncer(server_url) as pooler, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "open", open_pooled)
        yield


@pytest.fixture(scope="session", autouse=True)
def key_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Delete, at the end, the daily keys of the engines that the session's tests have started: their
    folders in memory outlive an engine, so that it has its keys again after a restart."""
    yield
    delete_key_stores(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def template(servers: Servers) -> Iterator[str]:
    """The name of a migrated database that nobody connects to."""
    name = f"waypost_test_{secrets.token_hex(6)}"
    execute(servers.database_url, f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
    try:
        hosted_run(partial(migrate, with_database(servers.database_url, name)))
        yield name
    finally:
        execute(servers.database_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(servers: Servers, template: str) -> Iterator[str]:
    """A migrated, empty database of this test's own."""
    name = f"{template}_{secrets.token_hex(4)}"
    execute(servers.database_url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    try:
        yield with_database(servers.database_url, name)
    finally:
        execute(servers.database_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def bare_database_url(servers: Servers) -> Iterator[str]:
    """A database that has never been migrated."""
    name = f"waypost_test_bare_{secrets.token_hex(6)}"
    execute(servers.database_url, f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
    try:
        yield with_database(servers.database_url, name)
    finally:
        execute(servers.database_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def redis_url(servers: Servers) -> Iterator[str]:
    """An empty Redis; parallel workers of one session use one numbered database each."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) + 1
    joint = "&" if urlsplit(servers.redis_url).query else "?"
    url = f"{servers.redis_url}{joint}db={number}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield url
        client.flushdb()


def with_database(url: str, name: str) -> str:
    """The same server, another database."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def on_connection(
    url: str, work: Callable[["asyncpg.Connection[asyncpg.Record]"], Awaitable[T]]
) -> T:
    """Run `work` on a connection as the login user, outside of any test's loop."""

    async def connected() -> T:
        connection = await asyncpg.connect(url)
        try:
            return await work(connection)
        finally:
            await connection.close()

    return hosted_run(partial(in_asyncio, connected))


def execute(url: str, statement: str) -> None:
    """Run one statement as the login user."""
    on_connection(url, lambda connection: connection.execute(statement))
