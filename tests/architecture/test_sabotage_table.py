"""The table of mutations stays true: each applies to the source, cites a document, and names its tests.

`python -m tests.sabotage` runs them; this is what every change of source or documents can break.
"""

import ast
from collections import Counter
from functools import cache

from tests.architecture.sources import ROOT
from tests.sabotage.mutation import load, one_line

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
