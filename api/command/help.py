"""Help of the command line: whole sentences at any width, and a table of the settings."""

from typing import Any

import click

from engine.common.errors import StoppedError
from engine.operations.settings import SETTINGS

# Help is wrapped to the terminal's width, up to this one.
MAX_WIDTH = 100
CONTEXT_SETTINGS: dict[str, Any] = {
    "max_content_width": MAX_WIDTH,
    "help_option_names": ["-h", "--help"],
}


class CommandGroup(click.Group):
    """Group of commands. Called without a command, it lists them, and leaves the settings to --help."""

    group_class = type

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args or not self.no_args_is_help:
            return super().parse_args(ctx, args)
        formatter = ctx.make_formatter()
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        self.format_options(ctx, formatter)
        formatter.write_paragraph()
        formatter.write_text(f"{ctx.command_path} COMMAND --help says more of a command.")
        if ctx.parent is None:
            formatter.write_text(f"{ctx.command_path} --help lists the settings, too.")
        click.echo(formatter.getvalue().rstrip("\n"))
        ctx.exit()

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Raises StoppedError at Ctrl-C, where click would print an empty line."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise StoppedError("stopped") from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands. A first line is wrapped, where click would cut it."""
        rows = [
            (name, (command.help or "").partition("\n")[0].rstrip("."))
            for name, command in sorted(self.commands.items())
            if not command.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if ctx.parent is None:
            formatter.write_paragraph()
            write_settings(formatter)


def write_settings(formatter: click.HelpFormatter) -> None:
    """Write each setting's variable, its default in brackets, and below them its help."""
    with formatter.section("Settings, from the environment"):
        for setting in SETTINGS:
            default = {True: "1", False: "0"}.get(setting.default, setting.default)
            brackets = f" [{default}]" if default != "" else ""
            formatter.write_text(f"{setting.variable}{brackets}")
            with formatter.indentation(), formatter.indentation():
                formatter.write_text(setting.help)


def settings_help() -> str:
    """Return the table of settings as --help prints it."""
    formatter = click.HelpFormatter(width=MAX_WIDTH)
    write_settings(formatter)
    return formatter.getvalue()
