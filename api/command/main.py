"""The program `waypost`, also run as `python -m api.command`: its exit codes, and one line for each error.

    0    done                         2    refused or failed: one line on standard error says why
    1    done, with something to see: a check that failed, a row that was rejected, output that nobody read
    130  stopped by Ctrl-C or SIGTERM before the end: one line says so, and what is left to do

A traceback is a bug of Waypost. Nothing but the standard library is loaded before `main` runs, so that Ctrl-C
while the other modules are loaded is one line, too.
"""

import errno
import io
import os
import sys
from typing import Final

FAILED: Final = 2
STOPPED: Final = 130
BROKEN_PIPE: Final = 1  # click's, where it meets one
# Commands name each file that cannot be written; what is left is the output.
_OUTPUT_ERRORS: Final = frozenset({errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO})


def main() -> None:
    """Run the command line. Ends with SystemExit."""
    _escape_unprintable()
    try:
        code = _run()
        if sys.stdout is not None:
            sys.stdout.flush()
    except SystemExit:
        raise
    except BaseException as error:
        code = _report(error)
    sys.exit(code)


def _run() -> int:
    import click

    from api.command.commands import cli

    try:
        cli(prog_name="waypost", standalone_mode=False)
    except click.exceptions.Exit as done:
        return done.exit_code
    return 0


def _report(error: BaseException) -> int:
    """Print the error as one line. Returns the exit code. Raises `error` if it is no error for people."""
    leaves = leaves_of(error)
    if isinstance(leaves[0], OSError) and leaves[0].errno in _OUTPUT_ERRORS:
        _drop_output()
        if leaves[0].errno == errno.EPIPE:
            return BROKEN_PIPE  # The reader has what it wanted: `waypost jobs | head`.
        return _fail(f"standard output cannot be written: {leaves[0].strerror}")
    if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
        return _stopped("stopped")

    import click

    from engine.common.errors import StoppedError, WaypostError

    if isinstance(error, click.Abort):
        interrupted = isinstance(error.__cause__, KeyboardInterrupt)
        return _stopped("stopped" if interrupted else "stopped: no answer was given")
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "waypost"
        return _fail(f"{error.format_message().rstrip('.')}; see {path} --help")
    if isinstance(error, click.ClickException):
        return _fail(error.format_message())
    if not all(isinstance(leaf, WaypostError) for leaf in leaves):
        raise error
    stops = [leaf for leaf in leaves if isinstance(leaf, StoppedError)]
    return _stopped(str(stops[0])) if stops else _fail(str(leaves[0]))


def leaves_of(error: BaseException) -> list[BaseException]:
    """Return the errors of a group and of the groups in it, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves_of(inner)]
    return [error]


def _fail(line: str) -> int:
    _print_line(line)
    return FAILED


def _stopped(line: str) -> int:
    if sys.stderr is not None and sys.stderr.isatty():
        sys.stderr.write("\n")  # The terminal has written ^C.
    _print_line(line)
    return STOPPED


def _print_line(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"waypost: {' '.join(text.split())}\n")


def _escape_unprintable() -> None:
    """Let the output escape what its encoding lacks: names of files, titles, dashes in an ASCII locale."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Drop what could not be written: Python would try again at its end, and print a traceback."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
