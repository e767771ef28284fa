"""ARCHITECTURE.md keeps its word: each test that it names as a proof is there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
TEXT = (ROOT / "ARCHITECTURE.md").read_text()


def defined_in(path: Path) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, kinds)}


def test_every_proof_is_there() -> None:
    named = NAMED.findall(TEXT)
    assert len(named) > 20
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (ROOT / file).is_file() or name not in defined_in(ROOT / file)
    ]
    assert missing == []


def test_every_failure_has_a_proof() -> None:
    section = TEXT.partition("## What each failure costs")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 10
    assert [row for row in rows if not NAMED.search(row.split(" | ")[-1])] == []
