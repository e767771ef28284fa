"""A copy of the tree in which one text at a time is broken, and its tests run."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from tests.sabotage.mutation import Mutation

Outcome = Literal["caught", "survived", "unclear"]
# Without compiled modules, a broken line of Python runs where they would.
LEFT_OUT: Final = shutil.ignore_patterns(
    ".*_cache", ".git", ".venv", "__pycache__", "waypost-data", "*.so"
)
PYTEST: Final = (
    "-m",
    "pytest",
    "-q",
    "-x",
    "-m",
    "not large",
    "-p",
    "no:cacheprovider",
    "-p",
    "timeout",
    "--timeout=60",
)
LIMIT_S: Final = 300.0
# Pytest's exit codes: all tests passed, and some failed. Any other says that they could not run.
PASSED: Final = 0
FAILED: Final = 1


class Tree:
    """A copy of the tree, and the environment in which its tests run."""

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        self.root = root
        # Without bytecode each run would compile the whole tree; with a prefix other trees would share it.
        unwanted = {"PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"}
        self._environment = {k: v for k, v in environment.items() if k not in unwanted}

    @classmethod
    def copy(cls, source: Path, target: Path) -> "Tree":
        """Copy the tree at `source` to the new folder `target`."""
        shutil.copytree(source, target, ignore=LEFT_OUT, symlinks=True)
        python = {"WAYPOST_VISITOR_CORE": "python", "WAYPOST_FOLD_CORE": "python"}
        return cls(target, {**os.environ, **python})

    def with_servers(self, database_url: str, redis_url: str) -> "Tree":
        """Return the tree with servers for all its tests, so that no run starts its own."""
        servers = {
            "WAYPOST_TEST_DATABASE_URL": database_url,
            "WAYPOST_TEST_REDIS_URL": redis_url,
        }
        return Tree(self.root, self._environment | servers)

    def failures(self, tests: Sequence[str]) -> str:
        """Run tests of the tree as it is. Returns pytest's output if one fails, else an empty text."""
        code, output = self._pytest(tests)
        return "" if code == PASSED else output

    def outcome(self, mutation: Mutation) -> Outcome:
        """Break the tree, run the mutation's tests and mend it again. Raises ValueError unless its file has
        the text to be broken exactly once.

        Tests that never end have noticed: `unclear` are those that cannot be collected.
        """
        path = self.root / mutation.file
        intact = path.read_text()
        if intact.count(mutation.before) != 1:
            raise ValueError(f"{mutation.file} must contain this once: {mutation.before!r}")
        try:
            self._write(path, intact.replace(mutation.before, mutation.after))
            code, _ = self._pytest(mutation.tests)
        except subprocess.TimeoutExpired:
            return "caught"
        finally:
            self._write(path, intact)
        return {PASSED: "survived", FAILED: "caught"}.get(code, "unclear")  # type: ignore[return-value]

    def _write(self, path: Path, text: str) -> None:
        """Write a file a second later than before: Python tells old bytecode by size and second."""
        second = int(path.stat().st_mtime) + 1
        path.write_text(text)
        os.utime(path, (second, second))

    def _pytest(self, tests: Sequence[str]) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, *PYTEST, *tests], cwd=self.root, env=self._environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S,
        )  # fmt: skip
        return done.returncode, done.stdout
