"""The metrics that the tree declares, read from its source."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.architecture.sources import name_of, sources, tree_of

ROOMS = ("engine", "storage", "actors", "api")


class Declaration(NamedTuple):
    """A module's constant that holds a metric."""

    file: str
    constant: str
    name: str
    help: str
    labels: tuple[str, ...]


def is_call_of(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def product_sources() -> list[Path]:
    return [path for path in sources() if name_of(path).split("/")[0] in ROOMS]


def declarations() -> Iterator[Declaration]:
    # Tests are collected by it, in each worker: the other files need not be parsed for that.
    declaring = (path for path in product_sources() if "Metric(" in path.read_text())
    for path in declaring:
        for node in tree_of(path).body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                call = node.value
                if isinstance(call, ast.Call) and is_call_of(call, "Metric"):
                    name, text, *labels = (ast.literal_eval(argument) for argument in call.args)
                    yield Declaration(
                        name_of(path), node.target.id, name, text, labels[0] if labels else ()
                    )
