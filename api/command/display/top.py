"""`waypost top`: the states of all processes of an engine on this machine, and of their actors."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import click
import msgspec
import trio
from rich.console import Console
from rich.live import Live
from rich.text import Text

from actors.operations.runtime import Stop
from api.command.display.table import table_lines
from api.command.display.top_screen import TopScreen, keys_without_enter, read_keys
from api.command.servers import finish
from engine.common.errors import StoppedError, WaypostError
from engine.operations.actor_tree import CRASH_LOOP_COUNT, ActorNode
from engine.operations.system import ProcessState, process_states
from storage.embedded.folder import layout
from storage.operations import status

COLUMNS: Final = ("name", "state", "for", "restarts", "mailbox", "lag", "last error")
_STYLES: Final = {"DOWN": "bold red", "CRASHING": "bold red", "not ready": "yellow"}


class TopRow(NamedTuple):
    """Row of a process (`depth` 0) or an actor. `path` joins its parents' names and its own by `/`."""

    depth: int
    path: str
    state: str
    for_s: float
    restarts: int
    mailbox: str
    lag: str
    last_error: str

    def cells(self) -> tuple[str, ...]:
        uptime = str(timedelta(seconds=int(self.for_s)))
        return self.state, uptime, str(self.restarts), self.mailbox, self.lag, self.last_error


async def print_states(
    folder: Path, stop: Stop, *, once: bool, as_json: bool, interval_s: float
) -> None:
    """Print the states once, or every `interval_s` until `stop`.

    Raises WaypostError if no process answers at first, StoppedError at the stop.
    """
    processes = await fetch_states(folder)
    if once or as_json or not Console().is_terminal or Console().is_dumb_terminal:
        print_once(processes, as_json=as_json)
        while not once:
            if await _stopped(stop, interval_s):
                raise StoppedError("stopped")
            print_once(await fetch_states(folder), as_json=as_json)
        return
    await finish(partial(watch, folder, processes, interval_s), stop, "stopped")


async def watch(folder: Path, processes: list[ProcessState], interval_s: float) -> None:
    """Show the states on the whole terminal, every `interval_s`, until the key q."""
    console = Console()
    screen = TopScreen()

    async def refresh() -> None:
        states = processes
        while True:
            header, *texts = screen_lines(states, console.width)
            screen.update(header, texts, console.height)
            show()
            await trio.sleep(interval_s)
            states = await fetch_states(folder, missing_ok=True)

    with (
        keys_without_enter() as keys,
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):

        def show() -> None:
            live.update(screen.render(), refresh=True)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(refresh)
            if keys is not None:
                await read_keys(keys, screen, show)
                nursery.cancel_scope.cancel()


async def fetch_states(folder: Path, *, missing_ok: bool = False) -> list[ProcessState]:
    run = layout(folder).run
    statuses = await status.fetch_statuses(run)
    if not statuses and not missing_ok:
        raise WaypostError(
            f"nothing runs on {folder}: name the folder of a running engine with --data"
        )
    return process_states(statuses, (), status.recent_failures(run))


async def _stopped(stop: Stop, after_s: float) -> bool:
    with trio.move_on_after(after_s):
        await stop.wait()
    return stop.is_set()


def print_once(processes: list[ProcessState], *, as_json: bool) -> None:
    """Print one JSON object, or a line per process and actor with columns between tabs."""
    if as_json:
        ready = all(process.ready for process in processes)
        click.echo(msgspec.json.encode({"ready": ready, "processes": processes}))
        return
    for line in lines(processes):
        click.echo("\t".join((line.path, *line.cells())))


def screen_lines(processes: list[ProcessState], width: int) -> list[Text]:
    """Return the header and the lines of all processes and actors, none longer than `width`."""
    rows = list(lines(processes))
    cells = [("  " * row.depth + row.path.rpartition("/")[2], *row.cells()) for row in rows]
    texts: list[Text] = []
    for line in table_lines(COLUMNS, cells, width):
        style = "bold" if line.row is None else _style(rows[line.row])
        # As Text, because rich would take brackets in an error for markup.
        starts = range(0, len(line.text) or 1, width)
        texts.extend(Text(line.text[start : start + width], style) for start in starts)
    return texts


def _style(row: TopRow) -> str:
    return _STYLES.get(row.state, "" if row.depth else "bold")


def lines(processes: list[ProcessState]) -> Iterator[TopRow]:
    for process in processes:
        state = "up" if process.ready else "not ready" if process.running else "DOWN"
        error = one_line("; ".join(process.reasons) or process.last_error)
        yield TopRow(0, process.name, state, process.for_s, process.restarts, "", "", error)
        for node in process.actors:
            yield from _below(node, process.name, 1)


def _below(node: ActorNode, path: str, depth: int) -> Iterator[TopRow]:
    actor_path = f"{path}/{node.name}"
    looping = node.crashes >= CRASH_LOOP_COUNT
    yield TopRow(
        depth=depth,
        path=actor_path,
        state="CRASHING" if looping else _state(node),
        for_s=node.for_s,
        restarts=node.restarts,
        mailbox="" if node.mailbox is None else str(node.mailbox),
        lag=" ".join(f"{name}={value:g}" for name, value in node.lag.items()),
        last_error=one_line(node.last_error),
    )
    for child in node.children:
        yield from _below(child, actor_path, depth + 1)


def _state(node: ActorNode) -> str:
    return "up" if node.running else "done" if node.done else "DOWN"


def one_line(text: str) -> str:
    """Return the text with each control character replaced by a space."""
    return "".join(c if c.isprintable() else " " for c in text)
