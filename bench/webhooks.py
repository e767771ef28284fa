"""Delivery of webhooks to failing receivers, under faults: `python -m bench webhooks`.

The benchmark creates links through the API of a whole `waypost up`, with a second workers process beside it. Each
new link is an event, due at the receivers of its profile. Receivers answer 10 % of requests with 500, 5 % not at all
and 2 % with a reset. One receiver is down for an hour; another hangs until all links are created. After a part
without faults, workers, Valkey and Postgres are killed (kill -9) or paused every 2 to 4 s; a seed decides which.
Every receiver verifies each request with the `standardwebhooks` package and keeps a ledger. At the end the ledgers
are compared with the links.

Waits between attempts pass `pace` times as fast as in production (bench/load/pacing.py), and an attempt may take 1 s
instead of 15 s. Nothing else differs.

| key | definition |
|---|---|
| `events` | created links; a call without an answer is sent again with the same Idempotency-Key |
| `pairs` | pairs of an event and a receiver where it is due |
| `success_first` | proportion of pairs accepted at the first request that arrived |
| `success_60s` | proportion of pairs accepted within 60 s of production time. For the receivers that are down or hang, all elapsed time is multiplied by `pace`, which is too much |
| `success_final` | proportion of pairs accepted; `lower_bound` is the lower end of its 95 % interval by Clopper and Pearson |
| `lost` | pairs never accepted |
| `repeated` | pairs accepted more than once: delivery is at least once |
| `phantoms` | events that arrived at a receiver where they are not due |
| `bad_signatures` | requests that `standardwebhooks` refused |
| `healthy_p99_ms`, `healthy_max_ms` | time from an event to its arrival at a receiver that always answers, in a profile with one that hangs, before the first fault; `healthy` is the number of these events |
| `faults` | number of injected faults by kind |
| `drain_s` | seconds from the last event until all pairs were accepted |

Exit code 1 when one of `lost`, `phantoms`, `bad_signatures` is not 0, `lower_bound` is below 0.995 (with 1,000 pairs
or more), or `healthy_p99_ms` is 1,000 or more.
"""  # noqa: E501  # a table row cannot be wrapped

import random
import time
from collections import Counter
from typing import Any, Final, NamedTuple
from uuid import uuid4

import click
from rich.table import Table

from bench.kit.errors import BenchError
from bench.kit.report import progress, show
from bench.load.crashable_engine import CrashableEngine
from bench.load.faults import Injector
from bench.load.receivers import FailureShares, Receiver, ReceiverThread
from bench.suite.options import finish, suite_options
from bench.suite.result import Better, Figure, Key, stated

SETTINGS = {
    "WAYPOST_WEBHOOK_LOOPBACK": "1",
    "WAYPOST_API_WRITES_PER_MINUTE": "0",
    "WAYPOST_API_READS_PER_MINUTE": "0",
}
SHARES = FailureShares(broken=0.10, silent=0.05, reset=0.02)
ATTEMPT_TIMEOUT_S = 1.0
PROFILES = 8
BATCH = 10
CALM_SHARE = 0.3
FAULT_INTERVAL_S = (2.0, 4.0)
KINDS = {"kill_workers": 5, "kill_postgres": 1, "kill_valkey": 2, "pause_workers": 1}
DOWN_S = 3600.0
# Shares of the pairs: key, title, direction. The receivers decide what the first request brings.
_SHARES: Final[tuple[tuple[str, str, Better], ...]] = (
    ("success_first", "at the first request", "neither"),
    ("success_60s", "within 60 s", "higher"),
    ("success_final", "in the end", "higher"),
)
DRAIN_S = 100_000.0  # longer than the whole retry schedule
CALL_LIMIT_S = 60.0
SOON_S = 60.0
LOWEST_BOUND = 0.995
MIN_PAIRS = 1000
HEALTHY_MS = 1000.0


class WebhooksOptions(NamedTuple):
    """Options of the command line. `rate` is events per second; `pace` divides waits between attempts."""

    events: int
    rate: float
    pace: float
    seed: int


class WebhooksRun:
    """Run of the benchmark. Links are created in the profiles in turn.

    Each profile has a receiver that fails now and then; the last profile's is also down for an hour. The first
    profile has two more receivers: one hangs, and one is healthy.
    """

    def __init__(
        self, plan: WebhooksOptions, engine: CrashableEngine, receivers: ReceiverThread
    ) -> None:
        self.plan = plan
        self.engine = engine
        self._dice = random.Random(plan.seed)  # noqa: S311
        self.injector = Injector(engine, self._dice)
        self.failing = [
            receivers.add(f"failing{n}", SHARES, plan.seed + n) for n in range(PROFILES)
        ]
        self.hanging = receivers.add("hanging", FailureShares(), 0)
        self.healthy = receivers.add("healthy", FailureShares(), 0)
        self.slugs: list[str] = []
        self._calm_events = 0
        self._profiles: list[str] = []

    @property
    def down(self) -> Receiver:
        return self.failing[-1]

    def due_slugs(self) -> dict[str, list[str]]:
        """Return the slugs that are due at each receiver, by its name."""
        due = {receiver.name: self.slugs[n::PROFILES] for n, receiver in enumerate(self.failing)}
        return due | {
            receiver.name: self.slugs[::PROFILES] for receiver in (self.hanging, self.healthy)
        }

    def run(self) -> dict[str, Any]:
        self._set_up()
        started = time.monotonic()
        self.hanging.hanging = self.down.down = True
        back_at = started + DOWN_S / self.plan.pace
        fault_at = float("inf")
        try:
            while len(self.slugs) < self.plan.events:
                now = time.monotonic()
                self.down.down = now < back_at
                if len(self.slugs) >= self.plan.events * CALM_SHARE and not self._calm_events:
                    self._calm_events, fault_at = len(self.slugs), now
                if now >= fault_at:
                    self._inject_fault()
                    fault_at = time.monotonic() + self._dice.uniform(*FAULT_INTERVAL_S)
                self.injector.resume()
                self.engine.restart_ended()
                self._create_links()
                time.sleep(max(0.0, started + len(self.slugs) / self.plan.rate - time.monotonic()))
        finally:
            self.injector.resume(all_of_them=True)
        while time.monotonic() < back_at:
            time.sleep(0.1)
        self.hanging.hanging = self.down.down = False
        made_at = time.monotonic()
        self._drain()
        return self._result(made_at - started, time.monotonic() - made_at)

    # ---- the load -------------------------------------------------------------------------------

    def _set_up(self) -> None:
        for n in range(PROFILES):
            self._profiles.append(self._call("/v1/profiles", {"handle": f"hooks{n}"})["id"])
        for n, receiver in enumerate(self.failing):
            self._register(receiver, self._profiles[n])
        for receiver in (self.hanging, self.healthy):
            self._register(receiver, self._profiles[0])

    def _register(self, receiver: Receiver, profile_id: str) -> None:
        body = {"url": receiver.url, "event_types": ["link.created"]}
        receiver.set_secret(self._call(f"/v1/profiles/{profile_id}/webhooks", body)["secret"])

    def _create_links(self) -> None:
        """Create up to BATCH links in each profile."""
        start = len(self.slugs)
        slugs = [f"e{n}" for n in range(start, min(start + BATCH * PROFILES, self.plan.events))]
        for n, profile_id in enumerate(self._profiles):
            operations = [
                {"op": "create", "slug": slug, "target": "https://example.com/", "short": False}
                for slug in slugs[n::PROFILES]
            ]
            if operations:
                response = self._call(
                    f"/v1/profiles/{profile_id}/links/bulk", {"operations": operations}
                )
                if any(result["status"] != 201 for result in response["results"]):
                    raise BenchError(f"links were not created: {response}")
        self.slugs += slugs

    def _call(self, path: str, body: dict[str, Any]) -> Any:
        """POST until there is an answer, with one idempotency key, so that it takes effect once."""
        idempotency_key, until = uuid4().hex, time.monotonic() + CALL_LIMIT_S
        while True:
            try:
                return self.engine.console.post(path, body, idempotency_key)
            except BenchError:
                if time.monotonic() > until:
                    raise
                self.injector.resume()
                self.engine.restart_ended()
                time.sleep(0.1)

    def _inject_fault(self) -> None:
        (kind,) = self._dice.choices(list(KINDS), list(KINDS.values()))
        fault = self.injector.inject(kind)
        progress(f"{fault or kind}  {len(self.slugs):,} events, {self._accepted():,} arrived")

    def _accepted(self) -> int:
        return sum(len(receiver.ledger) for receiver in [*self.failing, self.healthy])

    def _undelivered(self) -> int:
        """Return the number of pairs not accepted so far."""
        due = self.due_slugs()
        return sum(
            1
            for receiver in self._receivers()
            for slug in due[receiver.name]
            if (entry := receiver.ledger.get(slug)) is None or not entry.accepted
        )

    def _drain(self) -> None:
        until, reported_at = time.monotonic() + DRAIN_S / self.plan.pace + 30, time.monotonic()
        while (undelivered := self._undelivered()) and time.monotonic() < until:
            self.engine.restart_ended()
            if time.monotonic() > reported_at + 10:
                reported_at = time.monotonic()
                progress(f"{undelivered:,} pairs are not accepted yet")
            time.sleep(0.2)

    def _receivers(self) -> list[Receiver]:
        return [*self.failing, self.hanging, self.healthy]

    # ---- the result -----------------------------------------------------------------------------

    def _result(self, load_s: float, drain_s: float) -> dict[str, Any]:
        due = self.due_slugs()
        first = within_60s = final = repeated = phantoms = 0
        for receiver in self._receivers():
            phantoms += len(receiver.ledger.keys() - set(due[receiver.name]))
            answers_always = receiver not in (self.hanging, self.down)
            for slug in due[receiver.name]:
                entry = receiver.ledger.get(slug)
                if entry is None or not entry.accepted:
                    continue
                final += 1
                repeated += entry.accepted > 1
                first_try = entry.accepted_at_arrival == 1
                first += first_try
                # A receiver that was down or hung did not see each attempt: count all its time as waits.
                elapsed_s = entry.latency_s + entry.waits_s
                within_60s += (
                    elapsed_s if answers_always else entry.latency_s * self.plan.pace
                ) <= SOON_S
        pairs = sum(map(len, due.values()))
        healthy_ms = sorted(
            self.healthy.ledger[slug].latency_s * 1000
            for slug in self.slugs[: self._calm_events : PROFILES]
            if slug in self.healthy.ledger
        )
        return {
            "benchmark": "webhooks",
            "events": len(self.slugs),
            "pairs": pairs,
            "success_first": round(first / pairs, 5),
            "success_60s": round(within_60s / pairs, 5),
            "success_final": round(final / pairs, 5),
            "lower_bound": round(lower_bound(final, pairs), 5),
            "lost": pairs - final,
            "repeated": repeated,
            "phantoms": phantoms,
            "bad_signatures": sum(receiver.bad_signatures for receiver in self._receivers()),
            "requests": sum(e.arrivals for r in self._receivers() for e in r.ledger.values()),
            "healthy": len(healthy_ms),
            "healthy_p50_ms": percentile(healthy_ms, 0.5),
            "healthy_p99_ms": percentile(healthy_ms, 0.99),
            "healthy_max_ms": percentile(healthy_ms, 1.0),
            "faults": dict(sorted(Counter(fault.kind for fault in self.injector.faults).items())),
            "gave_up": self.engine.gave_up,
            "load_s": round(load_s, 1),
            "drain_s": round(drain_s, 1),
            "plan": self.plan._asdict(),
        }


def lower_bound(successes: int, total: int, confidence: float = 0.95) -> float:
    """Return the lower end of the two-sided interval of a proportion (Clopper and Pearson, 1934)."""
    from scipy.stats import beta

    if successes == 0:
        return 0.0
    return float(beta.ppf((1 - confidence) / 2, successes, total - successes + 1))


def percentile(sorted_values: list[float], share: float) -> float:
    if not sorted_values:
        return float("nan")
    index = min(len(sorted_values) - 1, int(len(sorted_values) * share))
    return round(sorted_values[index], 1)


def failures(result: dict[str, Any]) -> list[str]:
    wrong = [
        f"{key}: {result[key]}" for key in ("lost", "phantoms", "bad_signatures") if result[key]
    ]
    if result["pairs"] >= MIN_PAIRS and result["lower_bound"] < LOWEST_BOUND:
        wrong.append(f"lower_bound: {result['lower_bound']}")
    if not result["healthy_p99_ms"] < HEALTHY_MS:
        wrong.append(f"healthy_p99_ms: {result['healthy_p99_ms']}")
    return wrong


def run(plan: WebhooksOptions) -> dict[str, Any]:
    """Run the benchmark and return its result. Raises BenchError when the engine does not start or answer."""
    module = ("bench.load.pacing", str(plan.pace), str(ATTEMPT_TIMEOUT_S))
    receivers = ReceiverThread()
    with CrashableEngine(1, SETTINGS, module=module, workers=2) as engine:
        bench = WebhooksRun(plan, engine, receivers)
        with receivers:
            return bench.run()


def table(result: dict[str, Any]) -> Table:
    grid = Table(title=f"Webhooks: {result['events']:,} events, seed {result['plan']['seed']}")
    grid.add_column("deliveries")
    grid.add_column("", justify="right")
    for key in ("success_first", "success_60s", "success_final", "lower_bound"):
        grid.add_row(key.replace("_", " "), f"{result[key]:.3%}")
    for key in ("pairs", "requests", "lost", "repeated", "phantoms", "bad_signatures"):
        grid.add_row(key.replace("_", " "), f"{result[key]:,}", end_section=key == "bad_signatures")
    for key in ("healthy_p50_ms", "healthy_p99_ms", "healthy_max_ms", "load_s", "drain_s"):
        grid.add_row(key.replace("_", " "), f"{result[key]:,.1f}", end_section=key == "drain_s")
    for kind, count in result["faults"].items():
        grid.add_row(kind.replace("_", " "), str(count))
    return grid


def measurements(result: dict[str, Any]) -> list[Figure]:
    shares, latency = "Accepted deliveries", "From an event to a receiver that always answers"
    return [
        *(
            Figure(
                name=key,
                title=title,
                unit="%",
                value=100 * result[key],
                better=better,
                chart=shares,
            )
            for key, title, better in _SHARES
        ),
        *stated(
            result,
            (
                Key("healthy_p50_ms", "p50", "ms", "lower", latency),
                Key("healthy_p99_ms", "p99", "ms", "lower", latency),
                Key("healthy_max_ms", "longest", "ms", "lower", latency),
                Key("repeated", "deliveries accepted more than once", "", "lower"),
                Key("drain_s", "all accepted after the last event", "s", "lower"),
            ),
        ),
    ]


@click.command(
    help="Delivery of each event to each receiver under faults; exit code 1 if one is lost."
)
@click.option("--events", type=click.IntRange(1, 1_000_000), default=20_000, show_default=True)
@click.option("--rate", type=click.FloatRange(1, 10_000), default=80, show_default=True,
              help="events per second")  # fmt: skip
@click.option("--pace", type=click.FloatRange(1, 10_000), default=120, show_default=True,
              help="factor by which waits between attempts are shortened")  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="one JSON object as the last line")
@suite_options(
    "Receivers are on this machine, and waits between attempts pass faster than in life. How "
    "many deliveries the first request brings follows from the faults that are made up here, "
    "not from the engine.",
    {"events": 200, "pace": 600},
)
def command(events: int, rate: float, pace: float, seed: int, as_json: bool) -> int:
    result = run(WebhooksOptions(events, rate, pace, seed))
    show(table(result))
    wrong = failures(result)
    print("FAILED: " + ", ".join(wrong) if wrong else "Every event was delivered.")
    return finish(result, wrong, measurements, as_json=as_json)
