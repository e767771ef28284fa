"""Redirects per second and their CPU time, beside other servers: `python -m bench redirects`.

Waypost runs as a whole `waypost up`: every click is journaled, shipped, folded and committed during the
measurement. Its peers answer the same paths and count nothing:

| server | what it does |
|---|---|
| `nginx` | `return 302` from a map of the paths, and a buffered access log (bench/servers/nginx.py) |
| `haproxy` | a redirect from a map file, and a log in memory (bench/servers/haproxy.py); left out where it is not installed |
| `floor` | one constant 302 and one write a wake-up, in C (bench/servers/floor.c); left out without a compiler |

All have one core (`server`), one at a time, in alternating rounds; the load has another (`client`). Postgres,
Valkey and Waypost's other processes have the remaining cores; with two cores they share the load's.

`--traffic` names kinds of requests: `same`, `varying`, `agents`, `campaign`, `page-clicks`, `experiment`, `proxy`
(bench/rounds/visitor_traffic.py says what each is). For `proxy`, the engine trusts one proxy and limits each client's
address; its peers do not look at addresses. `--modes` says how requests come:

| mode | load |
|---|---|
| `keep-alive` | wrk, in a closed loop over `connections` kept-alive connections |
| `one-request` | wrk, in a closed loop, each request on a new connection |
| a number | so many requests per second, over kept-alive connections, whatever the server does (bench/rounds/constant_rate.c) |

Results of each traffic in each mode by server are in `traffic`, as `traffic["varying"]["keep-alive"]["nginx"]`. Their
keys, such as `cpu_us_per_request` and `ratio_cpu`, are defined in bench/rounds/side_by_side.py.

With one request per connection, opening a connection costs the client's core more than the server's, so wrk's core
is the limit with some servers (see `busy`). Then `rps` describes wrk and server together, and CPU time compares the
servers. At a constant rate, latencies are comparable with those of the same run only: load and workers share a core.

After each run of Waypost these must hold, or `exact` is false, the exit code is 1 and `failures` says why:

- links redirect to their targets: all of them before the rounds, some after each run;
- once `waypost_journal_pending_clicks` is 0, the clicks in the API's stats and `waypost_redirects_total` have grown
  by the same number;
- this number is what the load completed, plus 0 to `connections` (`answered_more`): when wrk stops, each connection
  may have one request in flight that the edge answers and wrk does not count;
- every click was recorded, no request of the load failed, and the edge was not restarted.

| key | definition |
|---|---|
| `core` | what answered plain visits: the compiled core or Python, by `--core`, else by WAYPOST_VISITOR_CORE |
| `completed`, `redirects`, `clicks` | sums over all runs of Waypost, of the three counts above |
| `answered_more` | their least and greatest difference in a run |
| `seconds_to_commit` | the longest time from the end of a run until all clicks were committed |
"""  # noqa: E501  # a table row cannot be wrapped

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
from rich.table import Table

from bench.kit.errors import BenchError
from bench.kit.report import progress, show
from bench.load import wrk
from bench.load.engine_process import CORE, EngineProcess
from bench.load.exactness_check import ExactnessCheck
from bench.load.processes import Placement, on_cores
from bench.rounds import constant_rate
from bench.rounds.redirect_engine import LinkSets, RedirectEngine, check_answers, link_sets
from bench.rounds.side_by_side import (
    FULLY_BUSY,
    KEEP_ALIVE,
    ONE_REQUEST,
    Mode,
    Peer,
    RunPlan,
    SideBySide,
    Summary,
    add_rows,
    measured_values,
    medians,
    side_by_side_table,
)
from bench.rounds.visitor_traffic import TRAFFIC, heads_for, template
from bench.servers import c_programs, haproxy, nginx
from bench.servers.floor import Floor
from bench.servers.haproxy import HAProxy
from bench.servers.nginx import Nginx
from bench.suite.machine import machine
from bench.suite.options import finish, suite_options
from bench.suite.result import Figure, Key, stated

PEERS: Final = ("nginx", "haproxy", "floor")
RATES: Final = (5_000, 10_000, 30_000)
MAX_RATE: Final = 1_000_000
LATE_MS: Final = 1.0
MODES: Final = (KEEP_ALIVE, ONE_REQUEST, *(Mode(str(rate), rate=rate) for rate in RATES))


class RedirectsOptions(NamedTuple):
    """Options of the command line. `seconds` is the length of one run."""

    seconds: int
    links: int
    connections: int
    rounds: int
    traffic: tuple[str, ...]
    modes: tuple[Mode, ...]
    peers: tuple[str, ...] = PEERS
    core: str = ""


class Peers(NamedTuple):
    """Peers that run, and what is left out, in words."""

    servers: list[Peer]
    left_out: list[str]


class RedirectRuns(NamedTuple):
    """Summaries by traffic and mode, the checks of all runs of Waypost, and what failed."""

    traffic: dict[str, dict[str, Summary]]
    checks: list[ExactnessCheck]
    failures: list[str]
    cores: set[str]


def start_peers(
    stack: ExitStack, plan: RedirectsOptions, links: Sequence[Any], folder: Path
) -> Peers:
    """Start the peers of the plan that are installed."""
    peers = Peers([], [])
    if "nginx" in plan.peers:
        server = stack.enter_context(Nginx(links))
        peers.servers.append(Peer("nginx", server.url, server.worker, server.empty_log))
    if "haproxy" in plan.peers and haproxy.find() is None:
        peers.left_out.append("haproxy is left out, as it is not installed")
    elif "haproxy" in plan.peers:
        proxy = stack.enter_context(HAProxy(links, plan.connections))
        peers.servers.append(Peer("haproxy", proxy.url, proxy.pid, proxy.tidy))
    if "floor" in plan.peers and c_programs.compiler() is None:
        peers.left_out.append("the floor is left out, as there is no C compiler")
    elif "floor" in plan.peers:
        floor = stack.enter_context(Floor(folder))
        peers.servers.append(Peer("floor", floor.url, floor.pid, floor.tidy))
    return peers


def measure(
    plan: RedirectsOptions, placement: Placement, links: LinkSets, peers: Peers, folder: Path
) -> RedirectRuns:
    """Measure each kind of traffic on an engine with its settings."""
    measured = RedirectRuns({}, [], [], set())
    program = None
    if any(mode.rate for mode in plan.modes):
        program = constant_rate.build(folder)
    run_plan = RunPlan(plan.seconds, plan.connections, plan.rounds)
    for settings, kinds in engines(plan):
        with EngineProcess(settings=settings) as process:
            engine = RedirectEngine(process, links, plan.connections)
            bench = SideBySide([engine, *peers.servers], placement, run_plan, folder, program)
            progress(f"making {len(links.plain):,} links, for {', '.join(kinds)}")
            measured.failures.extend(engine.prepare(kinds))
            measured.cores.add(engine.core)
            for kind in kinds:
                requests = template(kind, links.of(kind))
                measured.traffic[kind] = {
                    mode.name: medians(
                        bench.measure(
                            f"{kind}, {mode.title}",
                            mode,
                            partial(heads_for, requests, close=mode.close),
                        )
                    )
                    for mode in plan.modes
                }
            if "experiment" in kinds:
                measured.failures.extend(engine.check_exposures())
            measured.checks.extend(engine.checks)
            measured.failures.extend(bench.failures)
    return measured


def engines(plan: RedirectsOptions) -> Iterator[tuple[dict[str, str], list[str]]]:
    """Yield the settings of each engine, and the kinds of traffic that it is measured with."""
    core = {CORE: plan.core} if plan.core else {}
    rest = list(plan.traffic)
    while rest:
        settings = TRAFFIC[rest[0]].settings
        yield core | dict(settings), [kind for kind in rest if TRAFFIC[kind].settings == settings]
        rest = [kind for kind in rest if TRAFFIC[kind].settings != settings]


def run(plan: RedirectsOptions) -> dict[str, Any]:
    """Run the benchmark and return its result. Raises BenchError when a tool is missing or a server fails."""
    wrk.find()
    nginx.find()
    plan, left_out = without_compiler(plan)
    placement = Placement.here()
    machine_facts = machine(placement)
    links = link_sets(plan.links)
    with (
        on_cores(placement.rest),
        tempfile.TemporaryDirectory(prefix="waypost-bench-redirects-") as name,
        ExitStack() as stack,
    ):
        folder = Path(name)
        peers = start_peers(stack, plan, links.all, folder)
        for line in (*left_out, *peers.left_out):
            progress(line)
        wrong = [
            failure
            for peer in peers.servers
            if peer.name != "floor"
            for failure in check_answers(peer.url, links.all)
        ]
        measured = measure(plan, placement, links, peers, folder)
    return {
        "benchmark": "redirects",
        "traffic": measured.traffic,
        **check_results(measured.checks, [*wrong, *measured.failures]),
        "core": ", ".join(sorted(measured.cores)),
        "left_out": [*left_out, *peers.left_out],
        "plan": plan._asdict() | {"modes": [mode.name for mode in plan.modes]},
        "machine": machine_facts,
    }


def without_compiler(plan: RedirectsOptions) -> tuple[RedirectsOptions, list[str]]:
    """Return the plan, without constant rates where there is no compiler, and what that leaves out.

    Raises BenchError when nothing is left.
    """
    if c_programs.compiler() is not None or not any(mode.rate for mode in plan.modes):
        return plan, []
    modes = tuple(mode for mode in plan.modes if not mode.rate)
    if not modes:
        raise BenchError("a constant rate needs a C compiler: apt-get install gcc libc6-dev")
    return plan._replace(modes=modes), ["constant rates are left out, as there is no C compiler"]


def check_results(checks: Sequence[ExactnessCheck], failures: Sequence[str]) -> dict[str, Any]:
    surplus = [check.answered - check.completed for check in checks]
    return {
        "exact": not failures,
        "failures": list(failures[:10]),
        "completed": sum(check.completed for check in checks),
        "redirects": sum(check.answered for check in checks),
        "clicks": sum(check.recorded for check in checks),
        "answered_more": [min(surplus), max(surplus)],
        "seconds_to_commit": round(max(check.seconds_to_commit for check in checks), 3),
    }


def table(result: dict[str, Any]) -> Table:
    plan, machine_facts = result["plan"], result["machine"]
    grid = side_by_side_table(
        f"Redirects ({result['core']}): {plan['links']} links, {plan['connections']} connections, "
        f"{plan['rounds']} rounds of {plan['seconds']} s",
        f"{machine_facts['cpu']}, {machine_facts['cores']} cores; "
        f"Linux {machine_facts['kernel']}; Python {machine_facts['python']}",
    )
    for kind, mode, summary in summaries(result):
        add_rows(grid, summary, f"{kind}, {mode.title}")
    return grid


def summaries(result: Mapping[str, Any]) -> Iterator[tuple[str, Mode, Summary]]:
    """Yield (traffic, mode, summary) of a result."""
    for kind, by_mode in result["traffic"].items():
        for name, summary in by_mode.items():
            yield kind, parse_modes(name)[0], summary


def summary_lines(result: dict[str, Any]) -> list[str]:
    """Return lines about exactness and the limits of the measurement, to print below the table."""
    low, high = result["answered_more"]
    lines = ["ratio: CPU time of the peer over that of Waypost; above 1, Waypost is cheaper."]
    if any(v.get("unsent") for _, _, summary in summaries(result) for v in summary.values()):
        lines.append("* slower than the rate: not all requests were sent")
    lines += [
        *result["left_out"],
        f"{result['completed']:,} requests completed, {result['redirects']:,} answered "
        f"({low} to {high} more per run), {result['clicks']:,} clicks in the stats, "
        f"all committed after {result['seconds_to_commit']:.1f} s at most: "
        + ("exact." if result["exact"] else "NOT EXACT."),
    ]
    lines += [f"FAILED: {failure}" for failure in result["failures"]]
    busy = [
        values["busy"]
        for _, mode, summary in summaries(result)
        if not mode.rate
        for values in summary.values()
    ]
    late_ms = [
        values.get("late_p99_ms", 0.0)
        for _, _, summary in summaries(result)
        for values in summary.values()
    ]
    if max(late_ms, default=0.0) > LATE_MS:
        lines.append(
            f"At a constant rate, requests were sent up to {max(late_ms):.1f} ms late (p99): the load's core "
            "was busy, and latencies are the machine's as much as the servers'."
        )
    if min(busy, default=1.0) < FULLY_BUSY:
        lines.append(
            "A server was not busy all the time in a closed loop, so the load or another process was the "
            "limit: compare CPU, not requests/s."
        )
    return lines


def measurements(result: dict[str, Any]) -> list[Figure]:
    rows = []
    for kind, mode, summary in summaries(result):
        rows += measured_values(summary, mode, f"{kind}, {mode.title}", f"{kind}/{mode.name}/")
    return rows + stated(result, (Key("seconds_to_commit", "all clicks committed", "s", "lower"),))


def parse_names(text: str, names: Sequence[str], option: str) -> tuple[str, ...]:
    """Return the names of a list with commas, each once; `all` is every one. Raises click.BadParameter."""
    if text == "all":
        return tuple(names)
    chosen = dict.fromkeys(name.strip() for name in text.split(","))
    for name in chosen:
        if name not in names:
            message = f"{name!r} is none of {', '.join(names)}, all"
            raise click.BadParameter(message, param_hint=option)
    return tuple(chosen)


def parse_modes(text: str) -> tuple[Mode, ...]:
    """Return the modes of a list with commas, each once; `all` is every one. Raises click.BadParameter."""
    if text == "all":
        return MODES
    known = {mode.name: mode for mode in MODES}
    modes = {}
    for name in (part.strip() for part in text.split(",")):
        if name.isascii() and name.isdigit() and 1 <= int(name) <= MAX_RATE:
            known.setdefault(name, Mode(name, rate=int(name)))
        if name not in known:
            message = f"{name!r} is no rate from 1 to {MAX_RATE:,}, and none of keep-alive, one-request, all"
            raise click.BadParameter(message, param_hint="--modes")
        modes[name] = known[name]
    return tuple(modes.values())


@click.command(help="Redirects per second and CPU per redirect, beside other servers on one core.")
@click.option("--seconds", type=click.IntRange(1, 600), default=5, show_default=True,
              help="length of one run")  # fmt: skip
@click.option("--links", type=click.IntRange(1, 100_000), default=1000, show_default=True)
@click.option("--connections", type=click.IntRange(1, 8_000), default=64, show_default=True)
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True,
              help="runs of each server")  # fmt: skip
@click.option("--traffic", default="varying,agents", show_default=True, metavar="NAME,…",
              help=f"kinds of requests: {', '.join(TRAFFIC)}, all")  # fmt: skip
@click.option("--modes", default="keep-alive,one-request,10000", show_default=True, metavar="NAME,…",
              help="how requests come: keep-alive, one-request, a constant rate per second; "
              "all: with rates of 5000, 10000 and 30000")  # fmt: skip
@click.option("--peers", default="all", show_default=True, metavar="NAME,…",
              help=f"servers beside Waypost: {', '.join(PEERS)}")  # fmt: skip
@click.option("--core", type=click.Choice(["compiled", "python"]), default=None,
              help="what answers plain visits  [default: by WAYPOST_VISITOR_CORE]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="one JSON object as the last line")
@suite_options(
    "Latencies of a closed loop are those under full load: they compare the servers of one run, and do "
    "not say how long a visitor waits; those at a constant rate do, on this machine. CPU time is the "
    "edge's alone; folding and Postgres come on top.",
    {
        "seconds": 1, "links": 20, "rounds": 2, "connections": 16, "traffic": "varying",
        "modes": "keep-alive,one-request,5000",
    },
)  # fmt: skip
def command(
    seconds: int, links: int, connections: int, rounds: int, traffic: str, modes: str, peers: str,
    core: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Run the benchmark and print its result. Returns the exit code: 1 when a check failed."""
    plan = RedirectsOptions(
        seconds, links, connections, rounds,
        traffic=parse_names(traffic, list(TRAFFIC), "--traffic"),
        modes=parse_modes(modes),
        peers=parse_names(peers, PEERS, "--peers"),
        core=core or "",
    )  # fmt: skip
    result = run(plan)
    show(table(result))
    for line in summary_lines(result):
        print(line)
    return finish(result, result["failures"], measurements, as_json=as_json)
