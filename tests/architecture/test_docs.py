"""The documents keep their word: what they name is there, and what they promise to be short is short."""

import ast
import re
import tomllib
from pathlib import Path

from tests.architecture.sources import ROOT

PROOF = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
# A path in backticks, or a link to a file of this repository.
NAMED = re.compile(r"`((?:engine|storage|actors|api|bench|tests|docs)/[\w./]*\w(?:\.\w+)?/?)`")
LINKED = re.compile(r"\]\(([\w./-]+\.(?:md|png))\)")
FAILURES = ROOT / "docs" / "design" / "failures.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
MAX_WORDS = 2_000


def defined_in(path: Path) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, kinds)}


def test_every_proof_is_there() -> None:
    proofs = [proof for path in DOCUMENTS for proof in PROOF.findall(path.read_text())]
    assert len(proofs) > 20
    missing = [
        f"{file}::{name}"
        for file, name in proofs
        if not (ROOT / file).is_file() or name not in defined_in(ROOT / file)
    ]
    assert missing == []


def test_every_failure_has_a_proof() -> None:
    rows = [line for line in FAILURES.read_text().splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 10
    assert [row for row in rows if not PROOF.search(row.split(" | ")[-1])] == []


def test_every_file_that_a_document_names_is_there() -> None:
    missing = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in DOCUMENTS
        for name in NAMED.findall(path.read_text())
        if not (ROOT / name).exists()
    ]
    missing += [
        f"{path.relative_to(ROOT)}: {target}"
        for path in DOCUMENTS
        for target in LINKED.findall(path.read_text())
        if not (path.parent / target).exists()
    ]
    assert missing == []


def test_the_architecture_is_read_in_ten_minutes() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text().split()) <= MAX_WORDS


def test_the_architecture_says_why_each_dependency_is_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[\[<>=;]", line)[0] for line in project["dependencies"]}
    section = (ROOT / "ARCHITECTURE.md").read_text().partition("## Dependencies")[2]
    rows = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| ")][1:]
    said = {name.strip("| ") for row in rows for name in row.split(",")}
    assert names <= said, f"not said why: {sorted(names - said)}"
