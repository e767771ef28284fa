"""Metrics are declared where they are counted, with their help; what is emitted is declared."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.architecture.metrics import Declaration, declarations, is_call_of, product_sources
from tests.architecture.sources import ROOT, name_of, tree_of

HOME = "engine/operations/metrics.py"
# The last word of a gauge's name: its unit, or the state that its unit is in.
UNITS = {
    "bytes", "clicks", "connections", "domains", "info", "keys", "links", "paths", "profiles", "seconds",
    "stores", "subscribers",
}  # fmt: skip
STATES = {
    "dead", "in_flight", "circuit_open", "kept", "not_ready", "queued", "recovering", "running",
    "standing_still", "waiting",
}  # fmt: skip


DECLARED = sorted(declarations(), key=lambda declared: declared.name)


def calls_of(path: Path, name: str) -> int:
    return sum(is_call_of(node, name) for node in ast.walk(tree_of(path)))


def test_every_metric_is_a_constant_of_its_module() -> None:
    in_constants = Counter(declared.file for declared in DECLARED)
    calls = {name_of(path): calls_of(path, "Metric") for path in product_sources()}
    assert {file: count for file, count in calls.items() if count} == dict(in_constants)


def test_samples_are_made_of_declared_metrics_only() -> None:
    calls = {name_of(path): calls_of(path, "Sample") for path in product_sources()}
    assert {file for file, count in calls.items() if count} == {HOME}


def test_no_two_metrics_have_one_name() -> None:
    names = Counter(declared.name for declared in DECLARED)
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("declared", DECLARED, ids=lambda declared: declared.name)
def test_a_metric_is_named_explained_and_emitted(declared: Declaration) -> None:
    assert re.fullmatch(r"waypost_[a-z]+(_[a-z]+)*", declared.name)
    if not declared.name.endswith("_total"):
        assert any(declared.name.endswith(f"_{word}") for word in UNITS | STATES)
    assert re.fullmatch(r"[A-Z0-9][^\n\\]{15,110}[^\s.]", declared.help)
    emitted = {
        node.value.id
        for node in ast.walk(tree_of(ROOT / declared.file))
        if isinstance(node, ast.Attribute)
        and node.attr in ("sample", "by_label")
        and isinstance(node.value, ast.Name)
    }
    assert declared.constant in emitted


def test_documents_name_declared_metrics_only() -> None:
    names = {declared.name for declared in DECLARED}
    pattern = re.compile(r"`(waypost_[a-z_]+_(?:total|seconds|bytes|clicks|info|waiting))\b")
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")):
        if path.name != "CHANGELOG.md":
            assert set(pattern.findall(path.read_text())) <= names, path
