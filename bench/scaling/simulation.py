"""Discrete-event simulation of counting: edges, streams, workers and one Postgres, over simpy.

    edges → streams (Redis) → workers → Postgres

An edge answers what came, ships it in batches while its window is open, and keeps the rest in its journal. A
worker leases its share of the streams, reads a batch or several of one, packs it in its one thread, and commits
it over one of its connections. Postgres takes its CPU from its cores and writes its log one commit after the
other. Service times come from FoldCosts, or from another build's figures (bench/scaling/upserting.py), each
times a ratio that was measured.

Left out: the network, disks' waits for reading, garbage collection, and memory.
"""

import random
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Final, NamedTuple, Protocol

import simpy

from actors.clicks.aggregator import MAX_BATCHES
from actors.clicks.journal_leases import STREAMS_A_ROUND, UNSETTLED_ROUND_S
from bench.scaling.click_records import BATCH_BYTES

SLICE_S: Final = 0.005
SETTLE_EVERY_S: Final = 3.0
Steps = Generator[simpy.Event, Any, None]


class FoldPrice(NamedTuple):
    """Price of a fold: CPU seconds of worker and Postgres, bytes of log, and the rows that it locks until
    it ends, by number."""

    worker_s: float
    postgres_s: float
    wal_bytes: float
    locks: tuple[int, ...] = ()


class Prices(Protocol):
    """Service times of a build under one kind of traffic."""

    click_bytes: float
    edge_s: float  # CPU of an edge for a click, shipping included
    redis_s: float  # CPU of Redis for adding a click, and for reading it
    settle_worker_s: float  # CPU of jobs for a click, on the day itself
    settle_postgres_s: float
    folds_all_journals: bool  # a worker folds what all of its journals have together

    def fold(self, clicks: float, others: int, backends: int, dice: random.Random) -> FoldPrice:
        """Return the price of a fold while `others` workers are busy on its machine, and `backends` of
        Postgres."""


class Deployment(NamedTuple):
    """Deployment to simulate. Times in s.

    `clicks_per_s` come to all edges together; 0: streams never run empty, so the rate is what workers can do.
    `cores` are shared by workers and Postgres of one machine; 0: each worker has a core, and Postgres
    `postgres_cores`. `busy_cores` of the machine's are taken by something else. Postgres is away for
    `failover_s` from `failover_at_s` on; the first worker dies at `death_at_s`.
    """

    edges: int = 1
    workers: int = 1
    clicks_per_s: float = 0.0
    cores: int = 0
    postgres_cores: int = 1_000
    redis_nodes: int = 1
    wal_bytes_per_s: float = 1e12
    connections: int = 8  # of a worker
    max_connections: int = 1_000
    window_bytes: float = 16 * 2**20
    linger_s: float = 0.05
    lease_ttl_s: float = 10.0
    backlog_clicks: float = 10_000
    busy_cores: float = 0.0
    failover_at_s: float = 0.0
    failover_s: float = 0.0
    death_at_s: float = 0.0
    seconds: float = 10.0
    warm_up_s: float = 2.0
    seed: int = 1


class SimulatedRun(NamedTuple):
    """Result of a simulation, after its warm-up.

    Shares are of the time that one of a kind could have been busy. `waiting_clicks` are not committed at the
    end; `caught_up_s` is how long after the end of a fault all edges' windows were open and empty again, or -1.
    """

    clicks_per_s: float
    fresh_p50_s: float
    fresh_p99_s: float
    edge_busy: float
    redis_busy: float
    worker_busy: float
    postgres_busy: float
    wal_busy: float
    connections: int
    lock_wait_s_per_s: float
    worker_us: float
    postgres_us: float
    waiting_clicks: float
    longest_gap_s: float
    caught_up_s: float


class Cores:
    """Cores that processes share in slices of SLICE_S."""

    def __init__(self, env: simpy.Environment, count: int) -> None:
        self._env = env
        self.count = count
        self._resource = simpy.Resource(env, count)
        self.busy_s = 0.0

    def work(self, seconds: float) -> Steps:
        while seconds > 0:
            with self._resource.request() as core:
                yield core
                step = min(seconds, SLICE_S)
                yield self._env.timeout(step)
            self.busy_s += step
            seconds -= step


class ClickQueue:
    """A journal and its stream: batches of (clicks, mean time of the clicks), and who folds them."""

    def __init__(self, env: simpy.Environment) -> None:
        self.batches: deque[tuple[float, float]] = deque()
        self.pending: deque[tuple[float, float]] = deque()  # in the journal alone
        self.shipped_clicks = 0.0
        self.free_at = 0.0
        self.owner: FoldingWorker | None = None
        self.arrived = env.event()


class FoldingWorker:
    """A workers process: one thread, a pool of connections, and the streams that it leases."""

    def __init__(self, env: simpy.Environment, cores: Cores, connections: int) -> None:
        self.thread = simpy.Resource(env, 1)
        self.cores = cores
        self.pool = simpy.Resource(env, connections)
        self.streams: list[ClickQueue] = []
        self.is_alive = True
        self.folding = 0
        self.unsettled = 0.0

    def work(self, seconds: float) -> Steps:
        """Compute in the process's thread, in slices between which its other tasks run."""
        while seconds > 0:
            step = min(seconds, SLICE_S)
            with self.thread.request() as turn:
                yield turn
                yield from self.cores.work(step)
            seconds -= step


class Simulation:
    """A run of a deployment under a build's prices; reproducible by the deployment's seed."""

    def __init__(self, deployment: Deployment, prices: Prices) -> None:
        self.env = env = simpy.Environment()
        self.plan = plan = deployment
        self.prices = prices
        self.dice = random.Random(plan.seed)  # noqa: S311
        machine = Cores(env, plan.cores) if plan.cores else None
        self.postgres = machine or Cores(env, plan.postgres_cores)
        self.machine = machine
        self.redis = Cores(env, plan.redis_nodes)
        self.edges = Cores(env, plan.edges)
        self.wal = simpy.Resource(env, 1)
        self.connections = simpy.Resource(env, plan.max_connections)
        self.locks: dict[int, simpy.Resource] = {}
        self.streams = [ClickQueue(env) for _ in range(max(plan.edges, 1))]
        self.workers = [
            FoldingWorker(env, machine or Cores(env, 1), plan.connections)
            for _ in range(plan.workers)
        ]
        self.is_up = env.event()
        self.is_up.succeed()
        self.backends = 0
        self.most_backends = 0
        self.wal_s = self.lock_s = self.worker_s = self.postgres_s = 0.0
        self.committed: list[tuple[float, float, float]] = []  # (time, clicks, age in s)
        self._caught_up_s = -1.0

    def run(self) -> SimulatedRun:
        env, plan = self.env, self.plan
        for stream in self.streams:
            if plan.clicks_per_s:
                env.process(self._edge(stream))
            else:
                self._fill(stream)
        for worker in self.workers:
            env.process(self._settle(worker))
        env.process(self._lease())
        if plan.busy_cores and self.machine is not None:
            for _ in range(4):
                env.process(self._busy(self.machine, plan.busy_cores / 4))
        if plan.failover_s:
            env.process(self._fail_over())
        if plan.death_at_s:
            env.process(self._die())
        env.run(until=plan.seconds)
        return self._outcome()

    # ---- edges and streams ----------------------------------------------------------------------

    def _edge(self, stream: ClickQueue) -> Steps:
        plan, prices = self.plan, self.prices
        rate = plan.clicks_per_s / plan.edges
        at = 0.0
        yield self.env.timeout(self.dice.random() * plan.linger_s)
        while True:
            came = rate * (self.env.now - at)
            mean_at, at = (at + self.env.now) / 2, self.env.now
            came = max(0.0, self.dice.gauss(came, came**0.5))
            yield from self.edges.work(came * prices.edge_s)
            if came:
                stream.pending.append((came, mean_at))
            yield from self._ship(stream)
            yield self.env.timeout(plan.linger_s)

    def _ship(self, stream: ClickQueue) -> Steps:
        largest = BATCH_BYTES / self.prices.click_bytes
        window = self.plan.window_bytes / self.prices.click_bytes
        while stream.pending and stream.shipped_clicks < window:
            clicks, at = stream.pending.popleft()
            if clicks > largest:
                stream.pending.appendleft((clicks - largest, at))
                clicks = largest
            yield from self.redis.work(clicks * self.prices.redis_s)
            stream.shipped_clicks += clicks
            stream.batches.append((clicks, at))
            _set(stream)

    def _fill(self, stream: ClickQueue) -> None:
        """Keep the stream full, as after an outage."""
        while len(stream.batches) < MAX_BATCHES:
            stream.batches.append((self.plan.backlog_clicks / MAX_BATCHES, self.env.now))
        _set(stream)

    # ---- workers --------------------------------------------------------------------------------

    def _lease(self) -> Steps:
        """Share the streams evenly among the workers that live, some of them at a time."""
        while True:
            alive = [worker for worker in self.workers if worker.is_alive]
            share = -(-len(self.streams) // max(1, len(alive)))
            for worker in alive:
                free = [s for s in self.streams if s.owner is None and s.free_at <= self.env.now]
                for stream in free[: min(STREAMS_A_ROUND, share - len(worker.streams))]:
                    stream.owner = worker
                    worker.streams.append(stream)
                    if not self.prices.folds_all_journals or len(worker.streams) == 1:
                        self.env.process(self._fold(worker, stream))
            yield self.env.timeout(UNSETTLED_ROUND_S)

    def _fold(self, worker: FoldingWorker, stream: ClickQueue) -> Steps:
        """Fold one stream, or all that the worker has, until it dies."""
        together = self.prices.folds_all_journals
        while worker.is_alive:
            streams = list(worker.streams) if together else [stream]
            if not any(s.batches for s in streams):
                yield simpy.AnyOf(self.env, [s.arrived for s in streams])
            taken = [(s, list(s.batches)[:MAX_BATCHES]) for s in streams]
            clicks = sum(batch[0] for _, batches in taken for batch in batches)
            if not clicks:
                continue
            worker.folding += 1
            yield from self._commit(worker, clicks)
            worker.folding -= 1
            if worker.is_alive:
                self._note(worker, taken, clicks)

    def _commit(self, worker: FoldingWorker, clicks: float) -> Steps:
        price = self._price(worker, clicks)
        self.worker_s += price.worker_s
        yield from self.redis.work(clicks * self.prices.redis_s)
        yield from worker.work(price.worker_s)
        with worker.pool.request() as pooled, self.connections.request() as connection:
            yield pooled & connection
            yield self.is_up
            with self._backend():
                price = self._price(worker, clicks)
                held = []
                waited = self.env.now
                for number in price.locks:
                    lock = self.locks.setdefault(number, simpy.Resource(self.env, 1)).request()
                    held.append((number, lock))
                    yield lock
                self.lock_s += self.env.now - waited
                self.postgres_s += price.postgres_s
                yield from self.postgres.work(price.postgres_s)
                with self.wal.request() as log:
                    yield log
                    seconds = price.wal_bytes / self.plan.wal_bytes_per_s
                    yield self.env.timeout(seconds)
                    self.wal_s += seconds
                yield self.is_up  # a failover meanwhile: its answer comes after that
                for number, lock in held:
                    self.locks[number].release(lock)

    def _price(self, worker: FoldingWorker, clicks: float) -> FoldPrice:
        # No more of them can be in each other's way at a time than there are cores.
        backends = min(self.backends, self.postgres.count)
        others = sum(w is not worker and w.folding > 0 for w in self.workers) if self.machine else 0
        return self.prices.fold(clicks, others, max(0, backends - 1), self.dice)

    @contextmanager
    def _backend(self) -> Iterator[None]:
        self.backends += 1
        self.most_backends = max(self.most_backends, self.backends)
        try:
            yield
        finally:
            self.backends -= 1

    def _note(
        self,
        worker: FoldingWorker,
        taken: list[tuple[ClickQueue, list[tuple[float, float]]]],
        clicks: float,
    ) -> None:
        for stream, batches in taken:
            for count, at in batches:
                stream.batches.popleft()
                stream.shipped_clicks = max(0.0, stream.shipped_clicks - count)
                self.committed.append((self.env.now, count, self.env.now - at))
            if not self.plan.clicks_per_s:
                self._fill(stream)
            if not stream.batches:
                stream.arrived = self.env.event()
        worker.unsettled += clicks

    def _settle(self, worker: FoldingWorker) -> Steps:
        while True:
            yield self.env.timeout(SETTLE_EVERY_S)
            clicks, worker.unsettled = worker.unsettled, 0.0
            yield from worker.work(clicks * self.prices.settle_worker_s)
            yield self.is_up
            yield from self.postgres.work(clicks * self.prices.settle_postgres_s)

    # ---- faults, and other work -----------------------------------------------------------------

    def _fail_over(self) -> Steps:
        yield self.env.timeout(self.plan.failover_at_s)
        self.is_up = self.env.event()
        yield self.env.timeout(self.plan.failover_s)
        self.is_up.succeed()
        yield from self._catch_up()

    def _die(self) -> Steps:
        yield self.env.timeout(self.plan.death_at_s)
        worker = self.workers[0]
        worker.is_alive = False
        for stream in worker.streams:
            stream.owner, stream.free_at = None, self.env.now + self.plan.lease_ttl_s
        worker.streams = []
        yield from self._catch_up()

    def _catch_up(self) -> Steps:
        """Note how long it takes until no edge keeps clicks back, and each stream has a second's at most."""
        since = self.env.now
        most = self.plan.clicks_per_s / self.plan.edges
        while any(s.owner is None or s.pending or s.shipped_clicks > most for s in self.streams):
            yield self.env.timeout(0.1)
        self._caught_up_s = self.env.now - since

    def _busy(self, cores: Cores, share: float) -> Steps:
        while True:
            yield from cores.work(SLICE_S)
            yield self.env.timeout(self.dice.expovariate(1 / max(1e-6, SLICE_S * (1 / share - 1))))

    # ---- what it shows --------------------------------------------------------------------------

    def _outcome(self) -> SimulatedRun:
        plan, seconds = self.plan, self.plan.seconds
        rows = [row for row in self.committed if row[0] >= plan.warm_up_s]
        clicks = sum(count for _, count, _ in rows)
        everything = max(1.0, sum(count for _, count, _ in self.committed))
        times = [plan.warm_up_s, *(at for at, _, _ in rows), seconds]
        own = {worker.cores for worker in self.workers}
        return SimulatedRun(
            clicks_per_s=clicks / (seconds - plan.warm_up_s),
            fresh_p50_s=_weighted(rows, 0.5),
            fresh_p99_s=_weighted(rows, 0.99),
            edge_busy=self.edges.busy_s / seconds / plan.edges,
            redis_busy=self.redis.busy_s / seconds / plan.redis_nodes,
            worker_busy=sum(c.busy_s for c in own) / seconds / sum(c.count for c in own),
            postgres_busy=self.postgres.busy_s / seconds / self.postgres.count,
            wal_busy=self.wal_s / seconds,
            connections=self.most_backends,
            lock_wait_s_per_s=self.lock_s / seconds,
            worker_us=self.worker_s / everything * 1e6,
            postgres_us=self.postgres_s / everything * 1e6,
            waiting_clicks=sum(
                count for s in self.streams for queue in (s.pending, s.batches) for count, _ in queue
            ),
            longest_gap_s=max(b - a for a, b in pairwise(times)),
            caught_up_s=self._caught_up_s,
        )  # fmt: skip


def simulate(deployment: Deployment, prices: Prices) -> SimulatedRun:
    return Simulation(deployment, prices).run()


def _set(stream: ClickQueue) -> None:
    if stream.batches and not stream.arrived.triggered:
        stream.arrived.succeed()


def _weighted(rows: list[tuple[float, float, float]], part: float) -> float:
    """Return the quantile of the ages of clicks."""
    ages = sorted((age, count) for _, count, age in rows)
    left = part * sum(count for _, count in ages)
    for age, count in ages:
        left -= count
        if left <= 0:
            return age
    return float("nan")
