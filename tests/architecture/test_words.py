"""The words of docs/glossary.md in the code: how docstrings begin, and names that say nothing."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.architecture.sources import name_of, sources, tree_of

# A docstring begins with what a function does or what a class is, not with a relative clause.
OPENERS: Final = frozenset({
    "who", "whose", "whom", "whoever", "what", "whatever", "where", "wherever", "that", "those", "one",
    "others",
})  # fmt: skip
# Words that say nothing of a domain, or another thing in each; the glossary has the words to use.
BANNED: Final = frozenset({
    "arm", "arms", "trial", "trials", "letter", "letters", "lane", "lanes", "bell", "bells", "shelf",
    "shelves", "tally", "tallies", "gather", "gathering", "summarise", "summariser", "summarised",
    "trait", "traits", "upkeep", "news", "figures", "told", "asked", "moods", "rejudge", "stray",
})  # fmt: skip


def docstrings(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield text


def names(tree: ast.Module) -> Iterator[str]:
    """Yield the names of functions, classes, parameters and attributes that a file defines."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.arg():
                yield node.arg
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for statement in node.body:
                if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                    yield statement.target.id


def words(name: str) -> set[str]:
    """Return the words of a snake_case or CamelCase name, in lower case."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def openers(path: Path) -> list[str]:
    first = (re.match(r"\W*(\w+)", text) for text in docstrings(tree_of(path)))
    return [match[1] for match in first if match and match[1].lower() in OPENERS]


def banned(path: Path) -> set[str]:
    """Return the names of a file that have a banned word; a dead letter is a term of its own."""
    defined = set(names(tree_of(path)))
    return {name for name in defined if words(name.replace("dead_letter", "")) & BANNED}


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    left = {name_of(path): words for path in sources() if (words := openers(path))}
    assert left == {}


def test_names_are_the_words_of_the_glossary() -> None:
    left = {name_of(path): sorted(names) for path in sources() if (names := banned(path))}
    assert left == {}


def test_a_name_is_read_word_by_word() -> None:
    assert words("dropped_HTTPAnswer2") == {"dropped", "http", "answer"}
    assert words("_told_at") == {"told", "at"}
