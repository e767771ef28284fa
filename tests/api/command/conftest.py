"""The command line, run in this process."""

import pytest

from tests.kit.commands import CommandLine


@pytest.fixture
def waypost(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capfd)
