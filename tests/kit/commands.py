"""The command line run in this process, with its exit code and what it prints."""

import sys
from typing import NamedTuple

import pytest

from api.command.main import main


class Ended(NamedTuple):
    """A command that has ended: its exit code, standard output and standard error."""

    code: object
    output: str
    errors: str


class CommandLine:
    """Runs commands as an operator types them, and returns how they ended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capfd = capfd

    def __call__(self, *arguments: str) -> Ended:
        self._monkeypatch.setattr(sys, "argv", ["waypost", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return Ended(ended.value.code, *self._capfd.readouterr())

    def refusal(self, *arguments: str) -> str:
        """Run a command that must be refused. Returns its only line."""
        code, output, errors = self(*arguments)
        assert (code, output) == (2, ""), errors
        assert errors.startswith("waypost: "), errors
        assert errors.count("\n") == 1, errors
        return errors
