"""Help of the command line, as a newcomer asks for it: `waypost`, `-h`, `--help`, at any width."""

import pytest
from click.testing import CliRunner, Result

from api.command.commands import cli
from engine.operations.settings import SETTINGS
from tests.api.command.test_commands import VISIBLE


def invoke(*arguments: str, width: int = 80) -> Result:
    runner = CliRunner(env={"COLUMNS": str(width)})
    return runner.invoke(cli, arguments, prog_name="waypost")


def test_without_a_command_it_lists_the_commands_line_by_line() -> None:
    result = invoke()
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == "Usage: waypost [OPTIONS] COMMAND [ARGS]..."
    assert [line.split()[0] for line in lines if line.startswith("  up ")] == ["up"]
    assert lines[-1] == "waypost --help lists the settings, too."
    assert "WAYPOST_" not in result.output
    assert "listen" in invoke("webhooks").output


def test_help_has_every_setting() -> None:
    output = invoke("--help").output
    for setting in SETTINGS:
        assert f"  {setting.variable}" in output


@pytest.mark.parametrize("path", VISIBLE)
def test_every_command_has_a_short_option_for_its_help(path: str) -> None:
    arguments = path.split()[1:]
    short = invoke(*arguments, "-h")
    assert (short.exit_code, short.output) == (0, invoke(*arguments, "--help").output)
    assert short.output.startswith(f"Usage: {path}")


@pytest.mark.parametrize("command", ["add", "edit"])
def test_fields_of_links_have_no_default_in_brackets(command: str) -> None:
    output = " ".join(invoke("links", command, "--help").output.split())
    assert "Fields without an option stay" in output
    assert "[default: (" not in output


@pytest.mark.parametrize("width", [40, 80, 200])
def test_nothing_of_the_list_of_commands_is_cut(width: int) -> None:
    words = " ".join(invoke(width=width).output.split())
    for path, command in VISIBLE.items():
        if path.count(" ") == 1:
            assert (command.help or "").splitlines()[0].rstrip(".") in words


@pytest.mark.parametrize("width", [80, 200])
def test_help_fits_the_terminal(width: int) -> None:
    for path in ("waypost", *VISIBLE):
        lines = invoke(*path.split()[1:], "--help", width=width).output.splitlines()
        assert max(map(len, lines)) <= min(width, 100)
