"""The source files of the tree and what they import, for the tests of its architecture."""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
ROOMS: Final = ("engine", "storage", "actors", "api", "bench")
# What the product is about: these folders mean the same in every room.
DOMAINS: Final = frozenset({
    "accounts", "assets", "audit", "clicks", "experiments", "github", "jobs", "limits", "links", "mail",
    "operations", "pages", "privacy", "stats", "visits", "webhooks",
})  # fmt: skip
# The other folders of a room.
SPECIAL: Final[Mapping[str, frozenset[str]]] = {
    "engine": frozenset({"common"}),
    "storage": frozenset({"postgres", "redis", "http", "embedded", "migrations"}),
    "actors": frozenset(),
    "api": frozenset({"http", "dashboard", "reference", "processes", "command"}),
    "bench": frozenset({"kit", "load", "rounds", "scaling", "servers", "suite"}),
}


@cache
def sources() -> tuple[Path, ...]:
    return tuple(sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")))


def tests() -> list[Path]:
    return sorted((ROOT / "tests").rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    return name_of(path)[:-3].replace("/", ".").removesuffix(".__init__")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def modules() -> frozenset[str]:
    return frozenset(module_of(path) for path in sources())


@cache
def imports(path: Path) -> frozenset[str]:
    """Return the dotted names of all modules that a file imports, inside functions too."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from names & modules()
            if names - modules():
                yield node.module


def circles(arrows: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the groups of nodes that reach each other along the arrows (Tarjan 1972), each sorted."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(arrows.get(node, ())):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            at = stack.index(node)
            if len(stack) - at > 1:
                groups.append(sorted(stack[at:]))
            del stack[at:]

    for node in sorted(arrows):
        if node not in index:
            visit(node)
    return groups
