"""Exactness, fairness, alarms and cost of experiments in a real `waypost up`: `python -m bench experiments`.

A link has an experiment with two variants of equal weight. `visitors` visitors (an address, sent as X-Forwarded-For,
and a browser each) send `visits` requests in random order over `connections` connections to two edges. The Location
of each response tells the variant. Exit code 1 if one of these is not as expected; `failures` says which.

| key | definition |
|---|---|
| `exposures`, `clicks` | counts in results and stats once all clicks are committed: both equal `visits` |
| `visitors_counted` | visitors of both variants in the results: equals `visitors`, without multiple exposures |
| `srm_p_value` | p-value of the sequential test for sample-ratio mismatch: 0.001 or more |
| `reassigned` | visits that got another variant than the visitor's other visits: on another connection or edge, or after both edges were killed and restarted: 0 |
| `filtered_srm_p_value` | p-value of a second experiment with up to 30,000 visitors. Before it, a filter drops every tenth visitor (with fewer visitors every second) whom a HEAD request assigns to the second variant. Below 0.001 |

The cost of an experiment is measured on one edge, in alternating rounds of wrk on two links of one profile, without
and with an experiment. wrk sends varied requests of browsers over 64 connections. Workers are paused (SIGSTOP)
meanwhile: they would take time of wrk's core, more for one link than for the other, and an edge pays more for each
request when it gets fewer at once.

| key | definition |
|---|---|
| `plain_cpu_us`, `experiment_cpu_us` | user and system time of the edge per request, µs; median over rounds |
| `added_cpu_us` | median of the rounds' differences, µs; 10,000 visitors come repeatedly, so an edge has their assignments cached |
| `…_uncached` | these three with 40,000 visitors in turn, more than an edge caches |
| `added_in_process_us` | `added_cpu_us` of the profile actor alone, in this process: `visit` over 20,000 requests of 20,000 visitors, best of alternating rounds |
| `added_returning_us` | `added_in_process_us` with 4,000 visitors whose assignments are cached |
"""  # noqa: E501  # a table row cannot be wrapped

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
from actors.visits.click_quotas import ClickQuotas
from actors.visits.entrances import Entrances
from actors.visits.forms.password_checks import PasswordChecks
from actors.visits.link_gate import GateParts
from actors.visits.page_renders import PageRenders
from actors.visits.profile import ProfileActor, profile_actor
from api.visits.pages.visit_responses import visit_responses
from bench.kit.report import progress, show
from bench.load import browsers, wrk
from bench.load.engine_process import EngineProcess
from bench.load.processes import Placement, cpu_s, on_cores, pin
from bench.suite.machine import machine
from bench.suite.options import finish, suite_options
from bench.suite.result import Figure, Key, stated
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
VARIANT_TARGETS = ("https://a.example/", "https://b.example/")
PROFILE = "lab"
AT_US = 1_780_000_000_000_000
ROUNDS_IN_PROCESS = 7
RETURNING, UNCACHED = 10_000, 40_000  # visitors of one run; an edge caches 16,384 assignments


class ExperimentsOptions(NamedTuple):
    """Options of the command line. `seconds` is the length of one run of wrk; 0: no cost is measured."""

    visits: int
    visitors: int
    rounds: int
    seconds: int


class SimulatedVisitors:
    """`count` visitors, with an address and the headers of a browser each."""

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
    """Yield the Location of each response, in the order of the requests.

    Requests are pipelined over CONNECTIONS connections. Blocking.
    """
    parts = urlsplit(url)
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_connection((parts.hostname, parts.port), 30))
            for _ in range(CONNECTIONS)
        ]
        files = [stack.enter_context(sock.makefile("rb")) for sock in sockets]
        left = count
        while left:
            sent = []
            for sock, file in zip(sockets, files, strict=True):
                batch = [next(requests) for _ in range(min(PIPELINED, left))]
                left -= len(batch)
                if batch:
                    sock.sendall(b"".join(batch))
                    sent.append((file, len(batch)))
            for file, requests_sent in sent:
                for _ in range(requests_sent):
                    yield _location(file)


def _location(file: Any) -> str:
    location = ""
    while (line := file.readline()) not in (b"\r\n", b""):
        if line.startswith(b"Location: "):
            location = line[10:].strip().decode("ascii")
    return location


class ExperimentLab:
    """A profile with links and experiments in a running engine."""

    def __init__(self, engine: EngineProcess) -> None:
        self.engine = engine
        self.console = engine.console
        self.profile = self.console.post("/v1/profiles", {"handle": PROFILE})["id"]

    def link(self, slug: str) -> str:
        body = {"slug": slug, "target": "https://plain.example/"}
        created = self.console.post(f"/v1/profiles/{self.profile}/links", body)
        return str(created["id"])

    def experiment(self, slug: str) -> str:
        """Start an experiment on a new link and wait until every edge has it. Returns its id."""
        variants = [
            {"name": name, "weight": 0.5, "target": target}
            for name, target in zip("ab", VARIANT_TARGETS, strict=True)
        ]
        body = {
            "name": slug,
            "kind": "destination",
            "link_id": self.link(slug),
            "variants": variants,
        }
        experiment_id = self.console.post(f"/v1/profiles/{self.profile}/experiments", body)["id"]
        self.console.post(f"/v1/experiments/{experiment_id}/start", {})
        time.sleep(1.0)  # an edge has a change within a second
        return str(experiment_id)

    def results(self, experiment: str) -> dict[str, Any]:
        self.engine.wait_committed()
        results: dict[str, Any] = self.console.get(f"/v1/experiments/{experiment}/results")
        return results

    def clicks(self, slug: str) -> int:
        links = self.console.get(f"/v1/profiles/{self.profile}/links?limit=100")["items"]
        (link_id,) = [link["id"] for link in links if link["slug"] == slug]
        stats = self.console.get(f"/v1/profiles/{self.profile}/stats?link={link_id}")
        return int(stats["totals"]["clicks"])


class Exactness:
    """Comparison of the variants that visitors got with the counts of the engine."""

    def __init__(self, lab: ExperimentLab, plan: ExperimentsOptions) -> None:
        self.lab = lab
        self.plan = plan
        self.dice = random.Random(SEED)  # noqa: S311
        self.visitors = SimulatedVisitors(plan.visitors, self.dice)
        self.host = urlsplit(lab.engine.visitors_url).netloc
        self.failures: list[str] = []

    def expect(self, subject: str, actual: object, expected: object) -> None:
        if actual != expected:
            self.failures.append(f"{subject}: {actual}, not {expected}")

    def visit(self, slug: str, numbers: Sequence[int], method: str = "GET") -> list[str]:
        path = f"/{PROFILE}/{slug}"
        requests = (self.visitors.request(n, path, self.host, method) for n in numbers)
        return list(locations(self.lab.engine.visitors_url, requests, len(numbers)))

    def run(self) -> dict[str, Any]:
        experiment = self.lab.experiment("even")
        everybody = list(range(self.visitors.count))
        repeat_count = self.plan.visits - len(everybody)
        numbers = everybody + self.dice.choices(everybody, k=repeat_count)
        self.dice.shuffle(numbers)
        progress(f"{len(numbers):,} visits of {self.visitors.count:,} visitors")
        started = time.monotonic()
        targets = self.visit("even", numbers)
        rate = len(numbers) / (time.monotonic() - started)
        target_by_visitor = dict(zip(numbers, targets, strict=True))
        reassigned = sum(
            target_by_visitor[number] != location
            for number, location in zip(numbers, targets, strict=True)
        )
        results = self.lab.results(experiment)
        first, second = results["variants"]
        exposures = [variant["exposures"] for variant in (first, second)]
        self.expect(
            "exposures by variant",
            exposures,
            [Counter(targets)[target] for target in VARIANT_TARGETS],
        )
        clicks = self.lab.clicks("even")
        self.expect("exposures and clicks", sum(exposures), clicks)
        self.expect("clicks", clicks, len(numbers))
        visitors = [variant["visitors"] for variant in (first, second)]
        self.expect(
            "visitors by variant",
            visitors,
            [Counter(target_by_visitor.values())[target] for target in VARIANT_TARGETS],
        )
        self.expect(
            "multiple exposures", first["multiple_exposures"] + second["multiple_exposures"], 0
        )
        p_value = results["allocation"]["p_value"]
        if p_value < ALPHA:
            self.failures.append(f"false alarm of a sample-ratio mismatch: p = {p_value:.2g}")
        reassigned += self._after_a_kill(target_by_visitor)
        self.expect("reassigned visitors", reassigned, 0)
        return {
            "visits": len(numbers),
            "exposures": sum(exposures),
            "clicks": clicks,
            "visitors_counted": sum(visitors),
            "srm_p_value": p_value,
            "reassigned": reassigned,
            "visits_per_second": round(rate),
        }

    def _after_a_kill(self, target_by_visitor: dict[int, str]) -> int:
        """Kill the edges and wait for new ones. Returns how many of 2,000 visitors get another variant."""
        progress("killing the edges")
        old_pids = set(self.lab.engine.pids("edge"))
        for pid in old_pids:
            os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + KILL_WAIT_S
        while time.monotonic() < until:
            pids = set(self.lab.engine.pids("edge"))
            if len(pids) == len(old_pids) and not pids & old_pids:
                break
            time.sleep(0.2)
        sample = self.dice.sample(sorted(target_by_visitor), min(2000, len(target_by_visitor)))
        return sum(
            target_by_visitor[n] != location
            for n, location in zip(sample, self.visit("even", sample), strict=True)
        )

    def filtered(self) -> float:
        """Return the p-value of an experiment whose second variant loses visitors to a filter."""
        experiment = self.lab.experiment("filtered")
        numbers = list(range(min(FILTERED_VISITORS, self.visitors.count)))
        assigned = self.visit("filtered", numbers, "HEAD")
        every_nth = 10 if len(numbers) == FILTERED_VISITORS else 2
        kept = [
            n
            for n, target in zip(numbers, assigned, strict=True)
            if target == VARIANT_TARGETS[0] or n % every_nth
        ]
        progress(f"a filter drops {len(numbers) - len(kept):,} of {len(numbers):,} visits")
        self.expect(
            "variants as HEAD assigned", self.visit("filtered", kept), [assigned[n] for n in kept]
        )
        results = self.lab.results(experiment)
        p_value = float(results["allocation"]["p_value"])
        if not results["allocation"]["mismatch"]:
            self.failures.append(f"no mismatch was reported despite the filter: p = {p_value:.2g}")
        return p_value


# ---- cost ---------------------------------------------------------------------------------------------


def measure_cost(
    engine: EngineProcess, plan: ExperimentsOptions, placement: Placement
) -> dict[str, Any]:
    """Return the edge's CPU per request by key, on a link without and one with an experiment, in µs."""
    lab = ExperimentLab(engine)
    lab.link("plain")
    lab.experiment("tested")
    (edge,) = engine.pids("edge")
    pin(edge, {placement.server})
    host = urlsplit(engine.visitors_url).netloc
    costs: dict[tuple[str, int], list[float]] = {
        (slug, visitor_count): []
        for visitor_count in (RETURNING, UNCACHED)
        for slug in ("plain", "tested")
    }
    with tempfile.TemporaryDirectory(prefix="waypost-bench-heads-") as folder:
        files = {key: _heads(Path(folder), *key, host) for key in costs}
        for number in range(plan.rounds + 1):
            for key, file in files.items():
                with paused(engine.pids("workers")):
                    before_s = cpu_s(edge)
                    result = wrk.run(
                        engine.visitors_url, file, seconds=plan.seconds, connections=64,
                        cores={placement.client},
                    )  # fmt: skip
                    cost = (cpu_s(edge) - before_s) * 1e6 / max(1, result.requests)
                engine.wait_committed()
                if number:  # the first round warms up
                    costs[key].append(cost)
            if number:
                costs_text = ", ".join(
                    f"{slug} {medians[-1]:.1f} µs" for (slug, _), medians in costs.items()
                )
                progress(f"round {number} of {plan.rounds}: {costs_text}")
    runs: dict[str, list[float]] = {}
    for visitor_count, suffix in ((RETURNING, ""), (UNCACHED, "_uncached")):
        plain, tested = costs["plain", visitor_count], costs["tested", visitor_count]
        runs[f"plain_cpu_us{suffix}"] = plain
        runs[f"experiment_cpu_us{suffix}"] = tested
        runs[f"added_cpu_us{suffix}"] = [b - a for a, b in zip(plain, tested, strict=True)]
    medians = {key: round(statistics.median(costs_us), 2) for key, costs_us in runs.items()}
    return {**medians, "runs": runs}


@contextmanager
def paused(pids: Sequence[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _heads(folder: Path, slug: str, count: int, host: str) -> Path:
    visitors = SimulatedVisitors(count, random.Random(SEED))  # noqa: S311
    requests = [visitors.request(n, f"/{PROFILE}/{slug}", host) for n in range(visitors.count)]
    file = folder / f"{slug}-{count}.heads"
    file.write_bytes(b"".join(requests))
    return file


def measure_in_process_us(visitor_count: int = 20_000) -> float:
    """Return the time that an experiment adds to the profile actor's part of a redirect, in µs.

    `visitor_count` visitors come in turn, in each of ROUNDS_IN_PROCESS rounds.
    """
    plain, tested = _actor(), _actor(_even_experiment())
    pseudonymiser, dice = Pseudonymiser(bytes(32)), random.Random(SEED)  # noqa: S311
    visits = [
        (
            VisitRequest(
                b"/lab/x", b"", agent.encode(), b"https://example.com/", b"de-DE,de;q=0.9",
                False, True, host=b"go.example",
            ),
            ClientInfo(b"\x04" + number.to_bytes(4, "big")),
        )
        for number in range(visitor_count)
        for agent in (next(h[12:] for h in browsers.headers(dice) if h.startswith("User-Agent: ")),)
    ]  # fmt: skip

    def cost(actor: ProfileActor) -> float:
        (route,) = actor.routes.values()
        visit = actor.visit
        started = time.process_time_ns()
        for request, client in visits:
            visit(route, Visit(request, client, VisitorClass.HUMAN, AT_US, pseudonymiser))
        return (time.process_time_ns() - started) / 1000 / len(visits)

    rounds = [(cost(plain), cost(tested)) for _ in range(ROUNDS_IN_PROCESS)]
    return round(min(b for _, b in rounds) - min(a for a, _ in rounds), 3)


def _even_experiment() -> EdgeExperiment:
    variants = tuple(
        Variant(name=n, weight=0.5, target=t) for n, t in zip("ab", VARIANT_TARGETS, strict=True)
    )
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
    actor = profile_actor(
        snapshot,
        visit_responses("http://links.example"),
        ClickIds(),
        Entrances(),
        GateParts(ClickQuotas(), PasswordChecks()),
        PageRenders(),
        _no_refresh,
    )
    actor.add(snapshot.links)
    return actor


async def _no_refresh(actor: ProfileActor, version: int) -> None:
    raise NotImplementedError


# ---- the command --------------------------------------------------------------------------------------


def run(plan: ExperimentsOptions) -> dict[str, Any]:
    """Run the benchmark and return its result. Raises BenchError when a tool is missing or the engine fails."""
    results: dict[str, Any] = {"benchmark": "experiments"}
    with EngineProcess(edges=2, settings=SETTINGS) as engine:
        exactness = Exactness(ExperimentLab(engine), plan)
        results |= exactness.run()
        results["filtered_srm_p_value"] = exactness.filtered()
    if plan.seconds:
        results["added_in_process_us"] = measure_in_process_us()
        results["added_returning_us"] = measure_in_process_us(4_000)
        wrk.find()
        placement = Placement.here()
        with on_cores(placement.rest), EngineProcess(settings=SETTINGS) as engine:
            results |= measure_cost(engine, plan, placement)
        results["machine"] = machine(placement)
    failures = exactness.failures
    return results | {"exact": not failures, "failures": failures[:10], "plan": plan._asdict()}


def table(result: dict[str, Any]) -> Table:
    grid = Table(box=None, show_header=False, title="Experiments")
    names = (
        "visits", "exposures", "clicks", "visitors_counted", "reassigned", "srm_p_value",
        "filtered_srm_p_value", "plain_cpu_us", "experiment_cpu_us", "added_cpu_us", "added_cpu_us_uncached",
        "added_in_process_us", "added_returning_us", "visits_per_second",
    )  # fmt: skip
    for name in names:
        if name in result:
            value = result[name]
            grid.add_row(name, f"{value:,}" if isinstance(value, int) else f"{value:.3g}")
    return grid


def measurements(result: dict[str, Any]) -> list[Figure]:
    chart, added = "CPU time of a redirect at the edge", "CPU time that an experiment adds"
    return stated(
        result,
        (
            Key("plain_cpu_us", "plain link", "µs", "neither", chart),
            Key("experiment_cpu_us", "with an experiment", "µs", "lower", chart),
            Key("plain_cpu_us_uncached", "plain link, 40,000 visitors", "µs", "neither", chart),
            Key("experiment_cpu_us_uncached", "experiment, 40,000 visitors", "µs", "lower", chart),
            Key("added_cpu_us", "visitors who return", "µs", "lower", added),
            Key("added_cpu_us_uncached", "visitors beyond the cache", "µs", "lower", added),
            Key("added_in_process_us", "in the actor", "µs", "lower", added),
            Key("added_returning_us", "in the actor, visitors who return", "µs", "lower", added),
        ),
    )


@click.command
@click.option("--visits", default=200_000, show_default=True, type=click.IntRange(100, 10**7))
@click.option("--visitors", default=60_000, show_default=True, type=click.IntRange(50, 10**6))
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1, 100))
@click.option(
    "--seconds", default=4, show_default=True, type=click.IntRange(0, 600),
    help="length of one run of wrk; 0: do not measure the cost",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="one JSON object as the last line")
@suite_options(
    "Two variants of one link, of equal weight. What a team sees of its own visitors, and "
    "whether a lift is found, is measured by `bench peeking`.",
    {"visits": 4_000, "visitors": 2_000, "rounds": 1, "seconds": 1},
)
def command(visits: int, visitors: int, rounds: int, seconds: int, as_json: bool) -> int:
    """Check exposures, sample-ratio mismatch and reassigned visitors; measure the cost of an experiment."""
    result = run(ExperimentsOptions(max(visits, visitors), visitors, rounds, seconds))
    show(table(result))
    for failure in result["failures"]:
        progress(failure)
    return finish(result, result["failures"], measurements, as_json=as_json)
