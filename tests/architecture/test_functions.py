"""Every function fits a screen, or says beside its head why it does not."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.sources import name_of, sources

MAX_LINES = 50
# In the line above the function, or behind its head.
REASON = re.compile(r"# long: \S+ \S+")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.Module) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node


def lines_of(function: Function) -> int:
    """Return the lines from `def` to the end, without the docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def has_reason(function: Function, text: list[str]) -> bool:
    begin = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
    return any(REASON.search(line) for line in text[max(0, begin - 2) : function.body[0].lineno])


def offences(name: str, source: str) -> list[str]:
    """Return the functions that are long without a reason, or short with one."""
    text, result = source.splitlines(), []
    for function in functions(ast.parse(source)):
        lines, reason = lines_of(function), has_reason(function, text)
        if (lines > MAX_LINES) != reason:
            needs = "a reason beside its def" if not reason else "no reason"
            result.append(f"{name}:{function.lineno} {function.name} has {lines} lines: {needs}")
    return result


def test_functions_fit_a_screen_or_say_why_not() -> None:
    assert [o for path in sources() for o in offences(name_of(path), path.read_text())] == []


@pytest.mark.parametrize(
    ("lines", "reason", "allowed"),
    [(MAX_LINES, "", True), (MAX_LINES + 1, "", False), (MAX_LINES + 1, "# long: the hot path\n", True),
     (MAX_LINES, "# long: the hot path\n", False), (MAX_LINES + 1, "# long:\n", False)],
)  # fmt: skip
def test_the_rule_sees_a_long_function(lines: int, reason: str, allowed: bool) -> None:
    docstring = '    """A docstring\n    is not counted.\n    """\n'
    source = f"{reason}def f() -> None:\n{docstring}" + "    pass\n" * (lines - 1)
    assert (offences("sample", source) == []) == allowed
