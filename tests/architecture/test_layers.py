"""Imports run downwards only: between rooms, between the domains of a room, between files."""

from collections import defaultdict

import pytest

from tests.architecture.sources import (
    DOMAINS,
    ROOMS,
    circles,
    imports,
    module_of,
    modules,
    name_of,
    sources,
)
from tests.architecture.sources import tests as all_tests

MAY_IMPORT = {
    "engine": {"engine"},
    "storage": {"storage", "engine"},
    "actors": {"actors", "engine"},
    "api": {"api", "actors", "engine"},
    "bench": set(ROOMS),
}
# The top of the tree: what processes are made of and the command line know every room.
TOP = ("api/processes/", "api/command/")
# A rule must not reach for the world: time, randomness and input come in as arguments.
IMPURE = {
    "asyncio", "trio", "socket", "select", "subprocess", "threading", "time", "random", "secrets",
    "os", "pathlib", "asyncpg", "redis", "httpx", "uvloop", "hypercorn", "quart", "quart_trio",
}  # fmt: skip
# Writing log lines is an effect, and a setting of the process.
IMPURE_ALLOWED = {"engine/operations/logs.py": {"time"}}
ASYNCIO_ALLOWED = {
    "actors/operations/guest.py",
    "actors/operations/runtime.py",
    "api/processes/edge.py",
}
ENTRIES = {
    "api.command.__main__", "api.command.main", "bench.__main__", "storage.embedded.launcher",
    "storage.assets.picture_worker", "storage.migrations.schema",
}  # fmt: skip


def test_the_rules_read_the_tree() -> None:
    """A rule over an empty list of files always holds: the list must be the tree."""
    names = {name_of(path) for path in sources()}
    assert {
        "engine/links/ports.py", "storage/clicks/journal.py", "actors/visits/registry.py",
        "api/visits/head.py",
    } <= names  # fmt: skip
    assert len(names) > 350


def test_rooms_import_only_what_they_may() -> None:
    for path in sources():
        name = name_of(path)
        allowed = set(ROOMS) - {"bench"} if name.startswith(TOP) else MAY_IMPORT[name.split("/")[0]]
        for module in imports(path):
            room = module.split(".")[0]
            assert room not in ROOMS or room in allowed, f"{name} imports {module}"


def test_nothing_imports_the_top() -> None:
    for path in sources():
        name = name_of(path)
        if name.startswith((*TOP, "bench/")):
            continue
        for module in imports(path):
            assert not f"{module.replace('.', '/')}/".startswith(TOP), f"{name} imports {module}"


def test_the_framework_knows_no_domain() -> None:
    for path in sources():
        name = name_of(path)
        if not name.startswith("api/http/"):
            continue
        for module in imports(path):
            room, _, rest = module.partition(".")
            domain = rest.split(".")[0]
            assert room != "api" or domain not in DOMAINS, f"{name} imports {module}"


def domain_arrows(room: str) -> dict[str, set[str]]:
    arrows: dict[str, set[str]] = defaultdict(set)
    for path in sources():
        first, domain, *rest = name_of(path).split("/")
        if first == room and rest:
            targets = (module.split(".") for module in imports(path))
            arrows[domain] |= {t[1] for t in targets if t[0] == room and len(t) > 2} - {domain}
    return arrows


@pytest.mark.parametrize("room", ROOMS)
def test_domains_import_each_other_without_a_circle(room: str) -> None:
    arrows = domain_arrows(room)
    assert len(arrows) > 1
    assert circles(arrows) == []


def test_common_imports_no_domain() -> None:
    assert domain_arrows("engine")["common"] == set()


def test_files_import_each_other_without_a_circle() -> None:
    arrows = {module_of(path): set(imports(path) & modules()) for path in sources()}
    assert circles(arrows) == []


def test_engine_is_pure_and_asyncio_stays_in_storage() -> None:
    for path in sources():
        name = name_of(path)
        roots = {module.split(".")[0] for module in imports(path)}
        if name.startswith("engine/"):
            impure = roots & IMPURE - IMPURE_ALLOWED.get(name, set())
            assert not impure, f"{name} imports {impure}"
        if "asyncio" in roots:
            assert name.startswith("storage/") or name in ASYNCIO_ALLOWED, name


def test_no_file_is_dead() -> None:
    """Every module is imported by another one, is an entry point, or runs as a script."""
    used = {module for path in sources() for module in imports(path)}
    # Twins are there for tests, ours and those of whoever builds on the ports.
    users = (path for path in all_tests() if "memory_" in path.read_text())
    used |= {m for path in users for m in imports(path) if ".memory_" in m}
    packages = {module_of(path) for path in sources() if path.name == "__init__.py"}
    dead = modules() - used - packages - ENTRIES
    # Found by the table of bench/__main__.py, or run as scripts by the benchmarks.
    dead -= {module for module in dead if module.startswith("bench.")}
    assert not dead, f"nobody imports {sorted(dead)}"


def test_no_other_module_imports_hypercorn() -> None:
    users = {name_of(p) for p in sources() if any(n.startswith("hypercorn") for n in imports(p))}
    assert users == {"api/http/hypercorn_adapter.py"}
