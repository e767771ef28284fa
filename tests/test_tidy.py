"""Holds the rules that keep the tree readable: who may import whom, and that nothing is dead."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("engine", "storage", "actors", "api", "bench")
MAY_IMPORT = {
    "engine": {"engine"},
    "storage": {"storage", "engine"},
    "actors": {"actors", "engine"},
    "api": {"api", "actors", "engine"},
    "bench": set(ROOMS),
}
# What wires the rooms together, and nothing else in engine/ may import it.
COMPOSITION = ("engine/__main__.py", "engine/roles/")
# What decides must not reach for the world: time, randomness and input come in as arguments.
IMPURE = {
    "asyncio", "trio", "socket", "select", "subprocess", "threading", "time", "random", "secrets",
    "os", "pathlib", "asyncpg", "redis", "httpx", "uvloop", "hypercorn", "quart", "quart_trio",
}  # fmt: skip
# Writing log lines is an effect, and a setting of the process.
IMPURE_ALLOWED = {"engine/logs.py": {"time"}}
ASYNCIO_ROOMS = {"storage", "actors/host.py", "engine/roles/edge.py"}
MAX_LINES = 500


def sources() -> list[Path]:
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[str]:
    """Full dotted names of all modules that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_composition(name: str) -> bool:
    return name.startswith(COMPOSITION)


def test_rooms_import_only_what_they_may() -> None:
    for path in sources():
        name = name_of(path)
        if is_composition(name):
            continue
        allowed = MAY_IMPORT[name.split("/")[0]]
        for module in imports(path):
            room = module.split(".")[0]
            assert room not in ROOMS or room in allowed, f"{name} imports {module}"
            assert not module.startswith("engine.roles"), f"{name} imports {module}"


def test_engine_is_pure_and_asyncio_stays_in_storage() -> None:
    for path in sources():
        name = name_of(path)
        modules = {module.split(".")[0] for module in imports(path)}
        if name.startswith("engine/") and not is_composition(name):
            impure = modules & IMPURE - IMPURE_ALLOWED.get(name, set())
            assert not impure, f"{name} imports {impure}"
        if "asyncio" in modules:
            assert name.split("/")[0] in ASYNCIO_ROOMS or name in ASYNCIO_ROOMS, name


def test_no_file_is_dead() -> None:
    """Every module is imported by another one, is an entry point, or runs as a script."""
    entries = {"engine.__main__", "bench.__main__", "storage.embedded.launcher"}
    known = {name_of(path)[:-3].replace("/", ".").removesuffix(".__init__") for path in sources()}
    used = {module for path in sources() for module in imports(path)}
    # Twins are there for tests, ours and those of whoever builds on the ports.
    used |= {m for path in (ROOT / "tests").rglob("*.py") for m in imports(path) if ".memory" in m}
    dead = {
        module
        for module in known - entries
        if "." in module
        and module not in used
        and not any(u.startswith(f"{module}.") for u in used)
    }
    dead -= {module for module in dead if module.startswith("bench.")}  # found by its own table
    assert not dead, f"nobody imports {sorted(dead)}"


def test_files_fit_in_one_sitting() -> None:
    long = [name_of(path) for path in sources() if len(path.read_text().splitlines()) > MAX_LINES]
    assert not long


def test_every_module_says_what_it_is() -> None:
    silent = [name_of(p) for p in sources() if not ast.get_docstring(ast.parse(p.read_text()))]
    assert not silent


def test_import_paths_are_checked_at_all() -> None:
    """A rule over an empty list of files holds always: the list must be the tree."""
    names = {name_of(path) for path in sources()}
    assert {"engine/ports.py", "storage/journal.py", "actors/registry.py", "api/head.py"} <= names
