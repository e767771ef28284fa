"""`--help` of every command and option, with its default."""

from collections.abc import Iterator

import click
import pytest

from api.command.commands import cli

DEICTIC = ("who", "what", "whose", "that", "those", "only", "also")


def commands(group: click.Group, path: str = "waypost") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


VISIBLE = {path: command for path, command in commands(cli) if not command.hidden}


@pytest.mark.parametrize("path", VISIBLE)
def test_the_help_of_a_command_has_a_short_first_line(path: str) -> None:
    first, *_ = (VISIBLE[path].help or "").splitlines()
    assert first.endswith(".")
    assert first[0].isupper()
    assert len(first) <= 80


@pytest.mark.parametrize("path", VISIBLE)
def test_the_help_of_an_option_is_a_noun_phrase_with_its_default(path: str) -> None:
    # Where many options have no default, one sentence says so for all of them.
    of_fields = "Fields without an option" in (VISIBLE[path].help or "")
    for option in VISIBLE[path].params:
        if not isinstance(option, click.Option):
            continue
        assert option.help, f"{path} {option.name} has no help"
        assert not option.help.lower().startswith(DEICTIC), f"{path} {option.name}: {option.help}"
        says_default = option.is_flag or option.required or option.show_default or of_fields
        assert says_default or "default:" in option.help, f"{path} {option.name} names no default"
