"""A mutation: one line of the engine that is broken on purpose, so that one promise of the docs is not kept."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

TABLES: Final = Path(__file__).parent / "promises"


class Mutation(NamedTuple):
    """A text of `file` that is replaced, the tests that must fail then, and the words of `doc` that would be
    untrue. Paths are relative to the tree; `tests` are pytest's, each with `::` and a name."""

    table: str
    doc: str
    promise: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]

    @property
    def change(self) -> str:
        """The change in one line: the lines of `before` and `after` in which they differ."""
        before, after = self.before.split("\n"), self.after.split("\n")
        gone = " ".join(line.strip() for line in before if line not in after)
        new = " ".join(line.strip() for line in after if line not in before)
        return f"{gone or '(nothing)'} -> {new or '(nothing)'}"


def load(folder: Path = TABLES) -> Iterator[Mutation]:
    """Yield the mutations of all tables (*.toml). Raises KeyError for a row that lacks a field."""
    for path in sorted(folder.glob("*.toml")):
        for row in tomllib.loads(path.read_text())["mutation"]:
            tests = row["tests"]
            yield Mutation(
                path.stem,
                row["doc"],
                row["promise"],
                row["file"],
                row["before"],
                row["after"],
                (tests,) if isinstance(tests, str) else tuple(tests),
            )


def one_line(text: str) -> str:
    """Return a text with each run of white space as one blank, as prose is wrapped anywhere."""
    return " ".join(text.split())
