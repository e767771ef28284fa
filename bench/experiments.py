"""Experiments in a real `waypost up`: exact, fair, alarmed when they must be, cheap: `python -m bench experiments`.

A link has an experiment of two even arms. `visits` requests of `visitors` people (an address and a browser each,
told by X-Forwarded-For) come over `connections` connections to two edges, in random order; the answers' Locations
say who got what. Any failure of these: exit code 1, and `failures` says it.

| key | definition |
|---|---|
| `exposures`, `clicks` | what results and stats say once all is committed: both equal to `visits` |
| `visitors_counted` | of both arms: equal to those who came; none crossed |
| `srm_p_value` | of the sequential test for sample-ratio mismatch: 0.001 or more |
| `moved` | people whose arm was another one on another connection, edge or visit, or after both edges were killed and restarted: 0 |
| `filtered_srm_p_value` | of a second experiment of up to 30,000 people, of whom a filter in front of it drops each tenth (of few people each second) whom a HEAD shows that they would get the second arm. Below 0.001 |

The cost of an experiment is measured side by side on one edge, in alternating rounds of wrk with browsers' requests
that vary, over 64 connections, on a link without and a link with an experiment of the same profile. The workers are
stopped meanwhile (SIGSTOP): they would take wrk's core, more of it for one kind than for the other, and an edge that
gets fewer requests at once pays more for each:

| key | definition |
|---|---|
| `plain_cpu_us`, `experiment_cpu_us` | user and system time of the edge per request; median over rounds |
| `added_cpu_us` | the median of the rounds' differences, microseconds; 10,000 people come again and again |
| `…_strangers` | the same with 40,000 people in turn, so many that an edge remembers none of them |
| `added_in_process_us` | the same of the profile actor alone, in this process: `visit` with and without, over 20,000 requests of as many strangers, best of alternating rounds |
| `added_returning_us` | that over 4,000 people who come back |
"""  # noqa: E501  # the table is read as it stands

import os
import random
import signal
import socket
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import click
from rich.table import Table

from actors.visits.click_ids import ClickIds
from actors.visits.profile import ProfileActor
from api.visits.responses import visit_responses
from bench.kit.machine import machine
from bench.kit.report import progress, show, write_json
from bench.load import browsers, wrk
from bench.load.engine_process import EngineProcess
from bench.load.processes import Placement, cpu_s, on_cores, pin
from engine.clicks.click import VisitorClass
from engine.experiments.experiment import EdgeExperiment, Experiment, Variant
from engine.experiments.verdict.srm import ALPHA
from engine.visits.pseudonym import Pseudonymiser
from engine.visits.request import ClientInfo, Visit, VisitRequest
from engine.visits.snapshot import EdgeLink, Snapshot

SEED = 20_260_501
CONNECTIONS = 32
PIPELINED = 16
FILTERED_VISITORS = 30_000
KILL_WAIT_S = 15.0
SETTINGS = {"WAYPOST_TRUSTED_HOPS": "1", "WAYPOST_VISITS_PER_SECOND": "0"}
ARMS = ("https://a.example/", "https://b.example/")
PROFILE = "lab"
AT_US = 1_780_000_000_000_000
ROUNDS_IN_PROCESS = 7
RETURNING, STRANGERS = 10_000, 40_000  # people of one run; edges remember 16,384


class ExperimentsOptions(NamedTuple):
    """What the command line asked for; `seconds` is the length of one run of wrk, 0: none."""

    visits: int
    visitors: int
    rounds: int
    seconds: int


class SimulatedVisitors:
    """So many visitors: an address and a browser's header each."""

    def __init__(self, count: int, dice: random.Random) -> None:
        self.count = count
        self._fields = []
        for number in range(count):
            address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
            lines = [*browsers.headers(dice), f"X-Forwarded-For: {address}"]
            self._fields.append("\r\n".join(lines))

    def request(self, number: int, path: str, host: str, method: str = "GET") -> bytes:
        head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{self._fields[number]}\r\n\r\n"
        return head.encode("ascii")


def locations(url: str, requests: Iterator[bytes], count: int) -> Iterator[str]:
    """The Location of each answer, in the order of the requests, which are pipelined over several
    connections; blocking."""
    parts = urlsplit(url)
    with ExitStack() as stack:
        open_ = [
            stack.enter_context(socket.create_connection((parts.hostname, parts.port), 30))
            for _ in range(CONNECTIONS)
        ]
        files = [stack.enter_context(one.makefile("rb")) for one in open_]
        left = count
        while left:
            sent = []
            for sock, file in zip(open_, files, strict=True):
                some = [next(requests) for _ in range(min(PIPELINED, left))]
                left -= len(some)
                if some:
                    sock.sendall(b"".join(some))
                    sent.append((file, len(some)))
            for file, answered in sent:
                for _ in range(answered):
                    yield _location(file)


def _location(file: Any) -> str:
    location = ""
    while (line := file.readline()) not in (b"\r\n", b""):
        if line.startswith(b"Location: "):
            location = line[10:].strip().decode("ascii")
    return location


class ExperimentLab:
    """A profile with its links and experiments, in a running engine."""

    def __init__(self, engine: EngineProcess) -> None:
        self.engine = engine
        self.console = engine.console
        self.profile = self.console.post("/v1/profiles", {"handle": PROFILE})["id"]

    def link(self, slug: str) -> str:
        body = {"slug": slug, "target": "https://plain.example/"}
        made = self.console.post(f"/v1/profiles/{self.profile}/links", body)
        return str(made["id"])

    def experiment(self, slug: str) -> str:
        """Started on a new link, and seen by every edge."""
        variants = [
            {"name": name, "weight": 0.5, "target": target}
            for name, target in zip("ab", ARMS, strict=True)
        ]
        body = {
            "name": slug,
            "kind": "destination",
            "link_id": self.link(slug),
            "variants": variants,
        }
        made = self.console.post(f"/v1/profiles/{self.profile}/experiments", body)["id"]
        self.console.post(f"/v1/experiments/{made}/start", {})
        time.sleep(1.0)  # what an edge promises
        return str(made)

    def results(self, experiment: str) -> dict[str, Any]:
        self.engine.wait_committed()
        found: dict[str, Any] = self.console.get(f"/v1/experiments/{experiment}/results")
        return found

    def clicks(self, slug: str) -> int:
        links = self.console.get(f"/v1/profiles/{self.profile}/links?limit=100")["items"]
        (link,) = [one["id"] for one in links if one["slug"] == slug]
        stats = self.console.get(f"/v1/profiles/{self.profile}/stats?link={link}")
        return int(stats["totals"]["clicks"])


class Exactness:
    """Sends visitors, and compares what they got with what was counted."""

    def __init__(self, lab: ExperimentLab, plan: ExperimentsOptions) -> None:
        self.lab = lab
        self.plan = plan
        self.dice = random.Random(SEED)  # noqa: S311
        self.people = SimulatedVisitors(plan.visitors, self.dice)
        self.host = urlsplit(lab.engine.visitors_url).netloc
        self.failures: list[str] = []

    def expect(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self.failures.append(f"{what}: {found}, not {wanted}")

    def visit(self, slug: str, numbers: Sequence[int], method: str = "GET") -> list[str]:
        path = f"/{PROFILE}/{slug}"
        requests = (self.people.request(n, path, self.host, method) for n in numbers)
        return list(locations(self.lab.engine.visitors_url, requests, len(numbers)))

    def run(self) -> dict[str, Any]:
        experiment = self.lab.experiment("even")
        everybody = list(range(self.people.count))
        more = self.plan.visits - len(everybody)
        numbers = everybody + self.dice.choices(everybody, k=more)
        self.dice.shuffle(numbers)
        progress(f"{len(numbers):,} visits of {self.people.count:,} people")
        started = time.monotonic()
        seen = self.visit("even", numbers)
        rate = len(numbers) / (time.monotonic() - started)
        arms = dict(zip(numbers, seen, strict=True))
        moved = sum(
            arms[number] != location for number, location in zip(numbers, seen, strict=True)
        )
        found = self.lab.results(experiment)
        first, second = found["variants"]
        exposures = [variant["exposures"] for variant in (first, second)]
        self.expect("exposures by arm", exposures, [Counter(seen)[arm] for arm in ARMS])
        clicks = self.lab.clicks("even")
        self.expect("exposures and clicks", sum(exposures), clicks)
        self.expect("clicks", clicks, len(numbers))
        visitors = [variant["visitors"] for variant in (first, second)]
        self.expect("visitors by arm", visitors, [Counter(arms.values())[arm] for arm in ARMS])
        self.expect(
            "visitors in two arms", first["multiple_exposures"] + second["multiple_exposures"], 0
        )
        p_value = found["allocation"]["p_value"]
        if p_value < ALPHA:
            self.failures.append(f"a mismatch was found where there is none: p = {p_value:.2g}")
        moved += self._after_a_kill(arms)
        self.expect("people who were moved", moved, 0)
        return {
            "visits": len(numbers),
            "exposures": sum(exposures),
            "clicks": clicks,
            "visitors_counted": sum(visitors),
            "srm_p_value": p_value,
            "moved": moved,
            "visits_per_second": round(rate),
        }

    def _after_a_kill(self, arms: dict[int, str]) -> int:
        """How many of some people get another arm once all edges are new processes."""
        progress("killing the edges")
        old = set(self.lab.engine.pids("edge"))
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + KILL_WAIT_S
        while time.monotonic() < until:
            now = set(self.lab.engine.pids("edge"))
            if len(now) == len(old) and not now & old:
                break
            time.sleep(0.2)
        some = self.dice.sample(sorted(arms), min(2000, len(arms)))
        return sum(
            arms[n] != location for n, location in zip(some, self.visit("even", some), strict=True)
        )

    def filtered(self) -> float:
        """The p-value of an experiment whose second arm loses visitors to a filter."""
        experiment = self.lab.experiment("filtered")
        numbers = list(range(min(FILTERED_VISITORS, self.people.count)))
        ahead = self.visit("filtered", numbers, "HEAD")
        each = 10 if len(numbers) == FILTERED_VISITORS else 2
        kept = [n for n, arm in zip(numbers, ahead, strict=True) if arm == ARMS[0] or n % each]
        progress(f"a filter drops {len(numbers) - len(kept):,} of {len(numbers):,} visits")
        self.expect("what HEAD had shown", self.visit("filtered", kept), [ahead[n] for n in kept])
        found = self.lab.results(experiment)
        p_value = float(found["allocation"]["p_value"])
        if not found["allocation"]["mismatch"]:
            self.failures.append(f"the filter was not found: p = {p_value:.2g}")
        return p_value


# ---- what it costs ------------------------------------------------------------------------------------


def measured(
    engine: EngineProcess, plan: ExperimentsOptions, placement: Placement
) -> dict[str, float]:
    """CPU per request of the edge, on a link without and one with an experiment."""
    lab = ExperimentLab(engine)
    lab.link("plain")
    lab.experiment("tried")
    (edge,) = engine.pids("edge")
    pin(edge, {placement.server})
    host = urlsplit(engine.visitors_url).netloc
    costs: dict[tuple[str, int], list[float]] = {
        (slug, people): [] for people in (RETURNING, STRANGERS) for slug in ("plain", "tried")
    }
    with tempfile.TemporaryDirectory(prefix="waypost-bench-heads-") as folder:
        files = {key: _heads(Path(folder), *key, host) for key in costs}
        for number in range(plan.rounds + 1):
            for key, file in files.items():
                with stopped(engine.pids("workers")):
                    before_s = cpu_s(edge)
                    figures = wrk.run(
                        engine.visitors_url, file, seconds=plan.seconds, connections=64,
                        cores={placement.client},
                    )  # fmt: skip
                    cost = (cpu_s(edge) - before_s) * 1e6 / max(1, figures.requests)
                engine.wait_committed()
                if number:  # the first round warms up
                    costs[key].append(cost)
            if number:
                told = ", ".join(f"{slug} {found[-1]:.1f} µs" for (slug, _), found in costs.items())
                progress(f"round {number} of {plan.rounds}: {told}")
    found: dict[str, float] = {}
    for people, suffix in ((RETURNING, ""), (STRANGERS, "_strangers")):
        plain, tried = costs["plain", people], costs["tried", people]
        differences = [b - a for a, b in zip(plain, tried, strict=True)]
        found[f"plain_cpu_us{suffix}"] = round(statistics.median(plain), 2)
        found[f"experiment_cpu_us{suffix}"] = round(statistics.median(tried), 2)
        found[f"added_cpu_us{suffix}"] = round(statistics.median(differences), 2)
    return found


@contextmanager
def stopped(pids: Sequence[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _heads(folder: Path, slug: str, count: int, host: str) -> Path:
    people = SimulatedVisitors(count, random.Random(SEED))  # noqa: S311
    requests = [people.request(n, f"/{PROFILE}/{slug}", host) for n in range(people.count)]
    file = folder / f"{slug}-{count}.heads"
    file.write_bytes(b"".join(requests))
    return file


def in_process(people: int = 20_000) -> float:
    """What an experiment adds to the actor's part of a redirect, microseconds, over so many people in turn."""
    plain, tried = _actor(), _actor(_even())
    pseudonymiser, dice = Pseudonymiser(bytes(32)), random.Random(SEED)  # noqa: S311
    seen = [
        (
            VisitRequest(
                b"/lab/x", b"", agent.encode(), b"https://example.com/", b"de-DE,de;q=0.9",
                False, True, host=b"go.example",
            ),
            ClientInfo(b"\x04" + number.to_bytes(4, "big")),
        )
        for number in range(people)
        for agent in (next(h[12:] for h in browsers.headers(dice) if h.startswith("User-Agent: ")),)
    ]  # fmt: skip

    def cost(actor: ProfileActor) -> float:
        (route,) = actor.routes.values()
        visit = actor.visit
        started = time.process_time_ns()
        for request, client in seen:
            visit(route, Visit(request, client, VisitorClass.HUMAN, AT_US, pseudonymiser))
        return (time.process_time_ns() - started) / 1000 / len(seen)

    rounds = [(cost(plain), cost(tried)) for _ in range(ROUNDS_IN_PROCESS)]
    return round(min(b for _, b in rounds) - min(a for a, _ in rounds), 3)


def _even() -> EdgeExperiment:
    variants = tuple(Variant(name=n, weight=0.5, target=t) for n, t in zip("ab", ARMS, strict=True))
    experiment = Experiment(
        name="x", kind="destination", variants=variants, link_id=1, id=7, seed="s", state="running"
    )
    return EdgeExperiment(experiment, bytes(range(32)))


def _actor(*experiments: EdgeExperiment) -> ProfileActor:
    link = EdgeLink(1, "x", "https://plain.example/", 302, False, True)
    snapshot = Snapshot(
        tenant_id=1, profile_id=2, handle="lab", title="", version=1, complete=True,
        links=(link,), page=(), experiments=experiments,
    )  # fmt: skip
    actor = ProfileActor(snapshot, visit_responses(secure=False), ClickIds(), _no_refresh)
    actor.add(snapshot.links)
    return actor


async def _no_refresh(actor: ProfileActor, version: int) -> None:
    raise NotImplementedError


# ---- the command --------------------------------------------------------------------------------------


def run(plan: ExperimentsOptions) -> dict[str, Any]:
    """Measure; the JSON object. Raises BenchError when something needed is missing or fails."""
    found: dict[str, Any] = {"benchmark": "experiments"}
    with EngineProcess(edges=2, settings=SETTINGS) as engine:
        exactness = Exactness(ExperimentLab(engine), plan)
        found |= exactness.run()
        found["filtered_srm_p_value"] = exactness.filtered()
    if plan.seconds:
        found["added_in_process_us"] = in_process()
        found["added_returning_us"] = in_process(4_000)
        wrk.find()
        placement = Placement.here()
        with on_cores(placement.rest), EngineProcess(settings=SETTINGS) as engine:
            found |= measured(engine, plan, placement)
        found["machine"] = machine(placement)
    failures = exactness.failures
    return found | {"exact": not failures, "failures": failures[:10], "plan": plan._asdict()}


def table(result: dict[str, Any]) -> Table:
    shown = Table(box=None, show_header=False, title="Experiments")
    names = (
        "visits", "exposures", "clicks", "visitors_counted", "moved", "srm_p_value",
        "filtered_srm_p_value", "plain_cpu_us", "experiment_cpu_us", "added_cpu_us", "added_cpu_us_strangers",
        "added_in_process_us", "added_returning_us", "visits_per_second",
    )  # fmt: skip
    for name in names:
        if name in result:
            value = result[name]
            shown.add_row(name, f"{value:,}" if isinstance(value, int) else f"{value:.3g}")
    return shown


@click.command
@click.option("--visits", default=200_000, show_default=True, type=click.IntRange(100, 10**7))
@click.option("--visitors", default=60_000, show_default=True, type=click.IntRange(50, 10**6))
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1, 100))
@click.option(
    "--seconds", default=4, show_default=True, type=click.IntRange(0, 600),
    help="Length of one run of wrk; 0: leave out what it costs.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object last.")
def command(visits: int, visitors: int, rounds: int, seconds: int, as_json: bool) -> int:
    """Exposures against clicks, sample-ratio mismatch, who moves, and what an experiment costs."""
    result = run(ExperimentsOptions(max(visits, visitors), visitors, rounds, seconds))
    show(table(result))
    for failure in result["failures"]:
        progress(failure)
    if as_json:
        write_json(result)
    return 0 if result["exact"] else 1
