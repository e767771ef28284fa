"""Webhooks are delivered, whatever fails on the way: `python -m bench webhooks`.

A whole `waypost up`, with a second process of workers beside it, makes links by its API; each link made is an
event that is due at its profile's receivers. Of their requests, receivers answer 10 % with 500, 5 % not at
all and 2 % with a reset; one is down for an hour; one hangs until the events are all made. After a calm
part, workers, Valkey and Postgres get kill -9 or a pause every 2 to 4 s, as a seed decides. Every receiver
keeps a ledger and verifies each request with the `standardwebhooks` package; the ledgers are held against
what was made.

Waits between attempts pass `pace` times as fast as in an engine (bench/load/pacing.py), and the time limit of an
exchange is 1 s instead of 15; nothing else is any different.

| key | definition |
|---|---|
| `events` | links made: calls that got no answer are sent again with the same Idempotency-Key |
| `pairs` | an event and a receiver that it is due at |
| `success_first` | share of pairs that were taken at their first arrival |
| `success_60s` | share that were taken within 60 s of an engine's time, by the schedule; of the two that are down or hang, time counts `pace` times, which is too much |
| `success_final` | share that were taken; `lower_bound`: of its 95 % interval by Clopper and Pearson |
| `lost` | pairs that were never taken |
| `repeated` | pairs that were taken more than once: deliveries are at least once |
| `phantoms` | what arrived and was due to nobody |
| `bad_signatures` | requests that `standardwebhooks` refused |
| `healthy_p99_ms`, `healthy_max_ms` | from an event to its arrival at a receiver that always answers, beside one that hangs in the same profile, in the calm part; `healthy` of them |
| `faults` | by kind |
| `drain_s` | from the last event until all was delivered |

Exit code 1 when anything of `lost`, `phantoms`, `bad_signatures` is not 0, `lower_bound` is under 0.995 (of
1,000 pairs and more), or `healthy_p99_ms` is 1,000 or more.
"""  # noqa: E501  # the table is read as it stands

import random
import time
from collections import Counter
from typing import Any, NamedTuple
from uuid import uuid4

import click
from rich.table import Table

from bench.kit.errors import BenchError
from bench.kit.report import progress, show, write_json
from bench.load.crashable_engine import CrashableEngine
from bench.load.faults import Injector
from bench.load.receivers import FailureShares, Receiver, ReceiverThread

SETTINGS = {
    "WAYPOST_WEBHOOK_LOOPBACK": "1",
    "WAYPOST_API_WRITES_PER_MINUTE": "0",
    "WAYPOST_API_READS_PER_MINUTE": "0",
}
MOODS = FailureShares(broken=0.10, silent=0.05, reset=0.02)
ATTEMPT_TIMEOUT_S = 1.0
PROFILES = 8
BATCH = 10
CALM_SHARE = 0.3
BETWEEN_S = (2.0, 4.0)
KINDS = {"kill_workers": 5, "kill_postgres": 1, "kill_valkey": 2, "pause_workers": 1}
DOWN_S = 3600.0
DRAIN_S = 100_000.0  # the whole schedule
CALL_LIMIT_S = 60.0
SECONDS = 60.0
BOUND = 0.995
MIN_PAIRS = 1000
HEALTHY_MS = 1000.0


class WebhooksOptions(NamedTuple):
    events: int
    rate: float
    pace: float
    seed: int


class WebhooksRun:
    """One run. Events go to the profiles in turn; each has a receiver with moods, the first also one that
    hangs and a healthy one, and the last one's is the one that is down for an hour."""

    def __init__(
        self, plan: WebhooksOptions, engine: CrashableEngine, farm: ReceiverThread
    ) -> None:
        self.plan = plan
        self.engine = engine
        self._dice = random.Random(plan.seed)  # noqa: S311
        self.injector = Injector(engine, self._dice)
        self.moody = [farm.add(f"moody{n}", MOODS, plan.seed + n) for n in range(PROFILES)]
        self.hanging = farm.add("hanging", FailureShares(), 0)
        self.healthy = farm.add("healthy", FailureShares(), 0)
        self.made: list[str] = []
        self._calm = 0
        self._profiles: list[str] = []

    @property
    def down(self) -> Receiver:
        return self.moody[-1]

    def due(self) -> dict[str, list[str]]:
        """The slugs that are due at each receiver, by its name."""
        found = {one.name: self.made[n::PROFILES] for n, one in enumerate(self.moody)}
        return found | {one.name: self.made[::PROFILES] for one in (self.hanging, self.healthy)}

    def run(self) -> dict[str, Any]:
        self._set_up()
        started = time.monotonic()
        self.hanging.hanging = self.down.down = True
        back_at = started + DOWN_S / self.plan.pace
        fault_at = float("inf")
        try:
            while len(self.made) < self.plan.events:
                now = time.monotonic()
                self.down.down = now < back_at
                if len(self.made) >= self.plan.events * CALM_SHARE and not self._calm:
                    self._calm, fault_at = len(self.made), now
                if now >= fault_at:
                    self._fault()
                    fault_at = time.monotonic() + self._dice.uniform(*BETWEEN_S)
                self.injector.resume()
                self.engine.watch()
                self._make()
                time.sleep(max(0.0, started + len(self.made) / self.plan.rate - time.monotonic()))
        finally:
            self.injector.resume(all_of_them=True)
        while time.monotonic() < back_at:
            time.sleep(0.1)
        self.hanging.hanging = self.down.down = False
        made_at = time.monotonic()
        self._drain()
        return self._result(made_at - started, time.monotonic() - made_at)

    # ---- what is done ---------------------------------------------------------------------------

    def _set_up(self) -> None:
        for n in range(PROFILES):
            self._profiles.append(self._call("/v1/profiles", {"handle": f"hooks{n}"})["id"])
        for n, receiver in enumerate(self.moody):
            self._register(receiver, self._profiles[n])
        for receiver in (self.hanging, self.healthy):
            self._register(receiver, self._profiles[0])

    def _register(self, receiver: Receiver, profile_id: str) -> None:
        body = {"url": receiver.url, "event_types": ["link.created"]}
        receiver.trust(self._call(f"/v1/profiles/{profile_id}/webhooks", body)["secret"])

    def _make(self) -> None:
        """A few links of each profile: as many events."""
        begin = len(self.made)
        slugs = [f"e{n}" for n in range(begin, min(begin + BATCH * PROFILES, self.plan.events))]
        for n, profile_id in enumerate(self._profiles):
            operations = [
                {"op": "create", "slug": slug, "target": "https://example.com/", "short": False}
                for slug in slugs[n::PROFILES]
            ]
            if operations:
                answer = self._call(
                    f"/v1/profiles/{profile_id}/links/bulk", {"operations": operations}
                )
                if any(one["status"] != 201 for one in answer["results"]):
                    raise BenchError(f"links were not made: {answer}")
        self.made += slugs

    def _call(self, path: str, body: dict[str, Any]) -> Any:
        """Once to effect: sent again until it is answered."""
        key, until = uuid4().hex, time.monotonic() + CALL_LIMIT_S
        while True:
            try:
                return self.engine.console.post(path, body, key)
            except BenchError:
                if time.monotonic() > until:
                    raise
                self.injector.resume()
                self.engine.watch()
                time.sleep(0.1)

    def _fault(self) -> None:
        (kind,) = self._dice.choices(list(KINDS), list(KINDS.values()))
        fault = self.injector.inject(kind)
        progress(f"{fault or kind}  {len(self.made):,} events, {self._taken():,} taken")

    def _taken(self) -> int:
        return sum(len(receiver.ledger) for receiver in [*self.moody, self.healthy])

    def _open(self) -> int:
        """Pairs that are not taken yet."""
        due = self.due()
        return sum(
            1
            for receiver in self._receivers()
            for slug in due[receiver.name]
            if (entry := receiver.ledger.get(slug)) is None or not entry.taken
        )

    def _drain(self) -> None:
        until, said_at = time.monotonic() + DRAIN_S / self.plan.pace + 30, time.monotonic()
        while (left := self._open()) and time.monotonic() < until:
            self.engine.watch()
            if time.monotonic() > said_at + 10:
                said_at = time.monotonic()
                progress(f"{left:,} pairs are not delivered yet")
            time.sleep(0.2)

    def _receivers(self) -> list[Receiver]:
        return [*self.moody, self.hanging, self.healthy]

    # ---- what came of it ------------------------------------------------------------------------

    def _result(self, load_s: float, drain_s: float) -> dict[str, Any]:
        due = self.due()
        first = soon = final = repeated = phantoms = 0
        for receiver in self._receivers():
            phantoms += len(receiver.ledger.keys() - set(due[receiver.name]))
            calm = receiver not in (self.hanging, self.down)
            for slug in due[receiver.name]:
                entry = receiver.ledger.get(slug)
                if entry is None or not entry.taken:
                    continue
                final += 1
                repeated += entry.taken > 1
                at_once = entry.taken_at_arrival == 1
                first += at_once
                # What was down or hung did not tell each attempt: there, all the time is taken for waits.
                passed = entry.latency_s + entry.waits_s
                soon += (passed if calm else entry.latency_s * self.plan.pace) <= SECONDS
        pairs = sum(map(len, due.values()))
        quiet = sorted(
            self.healthy.ledger[slug].latency_s * 1000
            for slug in self.made[: self._calm : PROFILES]
            if slug in self.healthy.ledger
        )
        return {
            "benchmark": "webhooks",
            "events": len(self.made),
            "pairs": pairs,
            "success_first": round(first / pairs, 5),
            "success_60s": round(soon / pairs, 5),
            "success_final": round(final / pairs, 5),
            "lower_bound": round(lower_bound(final, pairs), 5),
            "lost": pairs - final,
            "repeated": repeated,
            "phantoms": phantoms,
            "bad_signatures": sum(receiver.bad for receiver in self._receivers()),
            "requests": sum(e.arrivals for r in self._receivers() for e in r.ledger.values()),
            "healthy": len(quiet),
            "healthy_p50_ms": percentile(quiet, 0.5),
            "healthy_p99_ms": percentile(quiet, 0.99),
            "healthy_max_ms": percentile(quiet, 1.0),
            "faults": dict(sorted(Counter(fault.kind for fault in self.injector.faults).items())),
            "gave_up": self.engine.gave_up,
            "load_s": round(load_s, 1),
            "drain_s": round(drain_s, 1),
            "plan": self.plan._asdict(),
        }


def lower_bound(successes: int, trials: int, confidence: float = 0.95) -> float:
    """Of the two-sided interval of a share (Clopper and Pearson, 1934)."""
    from scipy.stats import beta

    if successes == 0:
        return 0.0
    return float(beta.ppf((1 - confidence) / 2, successes, trials - successes + 1))


def percentile(sorted_values: list[float], share: float) -> float:
    if not sorted_values:
        return float("nan")
    at = min(len(sorted_values) - 1, int(len(sorted_values) * share))
    return round(sorted_values[at], 1)


def failures(result: dict[str, Any]) -> list[str]:
    wrong = [
        f"{key}: {result[key]}" for key in ("lost", "phantoms", "bad_signatures") if result[key]
    ]
    if result["pairs"] >= MIN_PAIRS and result["lower_bound"] < BOUND:
        wrong.append(f"lower_bound: {result['lower_bound']}")
    if not result["healthy_p99_ms"] < HEALTHY_MS:
        wrong.append(f"healthy_p99_ms: {result['healthy_p99_ms']}")
    return wrong


def run(plan: WebhooksOptions) -> dict[str, Any]:
    """Raises BenchError when the engine does not start, or does not make the links."""
    module = ("bench.load.pacing", str(plan.pace), str(ATTEMPT_TIMEOUT_S))
    farm = ReceiverThread()
    with CrashableEngine(1, SETTINGS, module=module, spare_workers=True) as engine:
        bench = WebhooksRun(plan, engine, farm)
        with farm:
            return bench.run()


def table(result: dict[str, Any]) -> Table:
    shown = Table(title=f"Webhooks: {result['events']:,} events, seed {result['plan']['seed']}")
    shown.add_column("deliveries")
    shown.add_column("", justify="right")
    for key in ("success_first", "success_60s", "success_final", "lower_bound"):
        shown.add_row(key.replace("_", " "), f"{result[key]:.3%}")
    for key in ("pairs", "requests", "lost", "repeated", "phantoms", "bad_signatures"):
        shown.add_row(
            key.replace("_", " "), f"{result[key]:,}", end_section=key == "bad_signatures"
        )
    for key in ("healthy_p50_ms", "healthy_p99_ms", "healthy_max_ms", "load_s", "drain_s"):
        shown.add_row(key.replace("_", " "), f"{result[key]:,.1f}", end_section=key == "drain_s")
    for kind, count in result["faults"].items():
        shown.add_row(kind.replace("_", " "), str(count))
    return shown


@click.command(help="Each event reaches each receiver, whatever fails; exit code 1 if not.")
@click.option("--events", type=click.IntRange(1, 1_000_000), default=20_000, show_default=True)
@click.option("--rate", type=click.FloatRange(1, 10_000), default=80, show_default=True,
              help="events per second")  # fmt: skip
@click.option("--pace", type=click.FloatRange(1, 10_000), default=120, show_default=True,
              help="how much faster waits pass")  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="one JSON object as the last line")
def command(events: int, rate: float, pace: float, seed: int, as_json: bool) -> int:
    result = run(WebhooksOptions(events, rate, pace, seed))
    show(table(result))
    wrong = failures(result)
    print("FAILED: " + ", ".join(wrong) if wrong else "All delivered.")
    if as_json:
        write_json(result)
    return 1 if wrong else 0
