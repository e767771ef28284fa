"""The table of mutations stays true, and the tool tells what it sees."""

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.sabotage.__main__ import ROOT, chosen, run
from tests.sabotage.mutation import Mutation, load, one_line
from tests.sabotage.tree import Tree

MUTATIONS = list(load())
KINDS = (ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def text_of(name: str) -> str:
    return (ROOT / name).read_text()


@cache
def prose_of(name: str) -> str:
    return one_line(text_of(name))


@cache
def functions_in(name: str) -> frozenset[str]:
    return frozenset(n.name for n in ast.walk(ast.parse(text_of(name))) if isinstance(n, KINDS))


def test_every_mutation_applies_to_the_source_once() -> None:
    wrong = [
        f"{mutation.file}: {mutation.before!r}"
        for mutation in MUTATIONS
        if text_of(mutation.file).count(mutation.before) != 1 or mutation.before == mutation.after
    ]
    assert wrong == []
    assert len(MUTATIONS) > 300


def test_every_promise_is_in_its_document() -> None:
    wrong = [
        f"{mutation.doc}: {mutation.promise}"
        for mutation in MUTATIONS
        if one_line(mutation.promise) not in prose_of(mutation.doc)
    ]
    assert wrong == []


def test_every_mutation_names_tests_that_are_there() -> None:
    missing = []
    for test in {test for mutation in MUTATIONS for test in mutation.tests}:
        file, *_, name = test.split("::")
        if not (ROOT / file).is_file() or name.split("[")[0] not in functions_in(file):
            missing.append(test)
    assert missing == []


def test_no_mutation_is_there_twice() -> None:
    counts = Counter((m.file, m.before, m.after) for m in MUTATIONS)
    assert [change for change, count in counts.items() if count > 1] == []


def test_mutations_are_chosen_by_words() -> None:
    assert chosen([]) == MUTATIONS
    assert {m.table for m in chosen(["webhooks.toml", "30 days"])} <= {m.table for m in MUTATIONS}
    assert chosen(["no such words"]) == []


@pytest.mark.slow
def test_a_survivor_is_told_from_a_mutation_that_is_caught(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "limits.py").write_text("MAX_KEYS = 100\nDAYS = 30\n")
    (tmp_path / "test_limits.py").write_text(
        "import limits\n\n\ndef test_keys() -> None:\n    assert limits.MAX_KEYS == 100\n"
    )

    def mutation(before: str, after: str, test: str = "test_keys") -> Mutation:
        tests = (f"test_limits.py::{test}",)
        return Mutation("a", "a.md", "a promise", "limits.py", before, after, tests)

    # Without plugins, pytest starts in a quarter of the time.
    tree = Tree(tmp_path, {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    caught, survivor = mutation("100", "101"), mutation("DAYS = 30", "DAYS = 29")
    assert run([caught, survivor], tree) == 1
    lines = [line.split()[0] for line in capsys.readouterr().out.splitlines() if " s  " in line]
    assert lines == ["caught", "survived"]
    assert tree.outcome(mutation("DAYS = 30", "DAYS =")) == "unclear"
    assert run([mutation("100", "101", "test_nothing")], tree) == 2
    assert "without a mutation" in capsys.readouterr().out
    assert (tmp_path / "limits.py").read_text() == "MAX_KEYS = 100\nDAYS = 30\n"
    with pytest.raises(ValueError, match="must contain this once"):
        tree.outcome(mutation("0", "1"))
