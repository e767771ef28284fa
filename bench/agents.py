"""Kinds and devices of user agents, right on lists that you have, and their cost: `python -m bench agents`.

`--lists DIR` has a text file for each answer, a user agent a line: `phone.txt` and the other classes of
devices, `bot.txt` and the other kinds, `people.txt` (what must be counted) and `machines.txt` (what must be
neither `human` nor `app`). Published lists make good ones (ua-parser's, Matomo's, isbot's,
crawler-user-agents'); none comes with Waypost. Without lists, agents of made-up browsers are timed.

| key | definition |
|---|---|
| `lists` | for each list, how many user agents it has and what part of them is right |
| `us_judge`, `us_device` | CPU time of an edge for the kind, and for the class of device, of a new user agent |

Exit code 1 when a list is right in less than `--least` of its lines.
"""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
from rich.table import Table

from bench.kit.errors import BenchError
from bench.kit.report import show
from bench.load.browsers import headers
from bench.suite.options import finish, suite_options
from bench.suite.result import Figure, Key, stated
from engine.clicks.agents import device
from engine.clicks.click import MAX_USER_AGENT_BYTES
from engine.visits.classifier import KINDS, MAX_KNOWN, ClassificationCache, judge

PEOPLE: Final = "people"
MACHINES: Final = "machines"
ANSWERS: Final = (*device.DEVICES, *KINDS, PEOPLE, MACHINES)
_MADE_UP: Final = 2_000


def is_right(answer: str, agent: str) -> bool:
    """Return whether the answer (one of ANSWERS) is that of a user agent."""
    if answer in device.DEVICES:
        return device.device(agent) == answer
    classification = judge(agent)
    if answer == PEOPLE:
        return classification.counted
    if answer == MACHINES:
        return classification.kind not in ("human", "app")
    return classification.kind == answer


def read_lists(folder: Path) -> dict[str, list[str]]:
    """Return the user agents of each answer, cut to what a record keeps. Raises BenchError."""
    lists = {}
    for path in sorted(folder.glob("*.txt")):
        if path.stem not in ANSWERS:
            raise BenchError(f"{path.name} is none of {', '.join(ANSWERS)}")
        lines = path.read_bytes().splitlines()
        texts = [line[:MAX_USER_AGENT_BYTES].decode("utf-8", "replace") for line in lines if line]
        if texts:
            lists[path.stem] = texts
    if not lists:
        raise BenchError(f"{folder} has no list")
    return lists


def made_up_agents() -> list[str]:
    """Return user agents of the browsers that load is made of."""
    dice = random.Random(1)  # noqa: S311
    lines = [line for _ in range(_MADE_UP) for line in headers(dice)]
    return [line[12:] for line in lines if line.startswith("User-Agent: ")]


def microseconds(read: Callable[[str], object], agents: list[str]) -> float:
    """Return the CPU time of reading a user agent for the first time."""
    start = time.process_time()
    for agent in agents:
        read(agent)
    return (time.process_time() - start) * 1e6 / len(agents)


def measure(lists: dict[str, list[str]]) -> dict[str, Any]:
    agents = [agent for texts in lists.values() for agent in texts] or made_up_agents()
    agents = list(dict.fromkeys(agents))[:MAX_KNOWN]
    kinds = ClassificationCache()
    judge(agents[0])  # loads the names
    device.device(agents[0])
    us_judge = microseconds(lambda agent: kinds[agent.encode()], agents)
    us_device = microseconds(device.device.__wrapped__, agents)
    right = {
        answer: {
            "agents": len(texts),
            "right": sum(is_right(answer, text) for text in texts) / len(texts),
        }
        for answer, texts in lists.items()
    }
    return {"benchmark": "agents", "lists": right, "us_judge": us_judge, "us_device": us_device}


def measurements(result: dict[str, Any]) -> list[Figure]:
    chart = "CPU time for a new user agent"
    return [
        *stated(
            result,
            (
                Key("us_judge", "kind of a new user agent", "µs", "lower", chart),
                Key("us_device", "class of device of a new user agent", "µs", "lower", chart),
            ),
        ),
        *(
            Figure(
                name=f"right/{answer}",
                title=answer,
                unit="%",
                value=100 * row["right"],
                better="higher",
                chart="User agents of the lists that are read right",
            )
            for answer, row in result["lists"].items()
        ),
    ]


@click.command(
    help="How right kinds and devices are on lists of user agents, and what a new one costs."
)
@click.option(
    "--lists",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of lists.",
)
@click.option(
    "--least",
    type=click.FloatRange(0, 1),
    default=0.9,
    show_default=True,
    help="Part that must be right.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object last.")
@suite_options(
    "The lists are yours, so a share that is right is that of their lines, not of your "
    "visitors. The cost is that of a user agent met for the first time; an edge remembers those "
    "that it has met.",
    {},
)
def command(lists: Path | None, least: float, as_json: bool) -> int:
    result = measure(read_lists(lists) if lists else {})
    table = Table("list", "user agents", "right")
    for answer, row in result["lists"].items():
        table.add_row(answer, f"{row['agents']:,}", f"{row['right']:.2%}")
    table.add_row("kind", "", f"{result['us_judge']:.1f} µs each")
    table.add_row("device", "", f"{result['us_device']:.1f} µs each")
    show(table)
    failures = [
        f"{answer}: {row['right']:.2%} are right"
        for answer, row in result["lists"].items()
        if row["right"] < least
    ]
    return finish(result, failures, measurements, as_json=as_json)
