"""Faults of a running engine: their kinds, a schedule that a seed decides, and their injection.

A schedule has every kind at least once if it is long enough. The target process is chosen when a fault is
injected; the injector waits for a target that is being restarted.
"""

import contextlib
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import redis

from bench.load.crashable_engine import CrashableEngine, send
from bench.load.standby import Standby

# Kind of fault: relative frequency.
WEIGHTS: Final = {
    "kill_edge": 6,
    "kill_workers": 6,
    "kill_api": 2,
    "kill_valkey": 4,
    "kill_postgres": 4,
    "kill_several": 4,
    "kill_all": 1,
    "failover_postgres": 2,
    "pause_edge": 1,
    "pause_workers": 3,
    "pause_postgres": 1,
    "pause_valkey": 1,
    "flush_valkey": 2,
    "trim_stream": 2,
    "delete_stream": 2,
    "wipe_valkey": 1,
    "older_valkey": 1,
}
TARGET_LIMIT_S: Final = 30.0
# Workers sleep longer than the lease of the chaos benchmark, so that they wake up as stale owners.
PAUSES_S: Final = {
    "edge": (0.2, 0.8),
    "workers": (1.5, 3.0),
    "postgres": (0.5, 3.0),
    "valkey": (0.5, 3.0),
}
OLDER_S: Final = 0.5
LAGS_S: Final = (0.0, 1.0)


class Fault(NamedTuple):
    """An injected fault: seconds since the injector's start, kind, and the processes that it hit."""

    at_s: float
    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.at_s:8.2f} s  {self.kind:<14} {self.detail}"


def schedule(kinds: int, dice: random.Random, weights: Mapping[str, int] = WEIGHTS) -> list[str]:
    """Return the kinds of `kinds` faults in random order."""
    order = list(weights)[:kinds]
    order += dice.choices(list(weights), list(weights.values()), k=kinds - len(order))
    dice.shuffle(order)
    return order


class Injector:
    """Injector of faults into one engine. It remembers the paused processes, to resume them."""

    def __init__(self, engine: CrashableEngine, dice: random.Random) -> None:
        self._engine = engine
        self._dice = dice
        self._started = time.monotonic()
        self._stopped: list[tuple[float, list[int]]] = []
        self.faults: list[Fault] = []

    def inject(self, kind: str) -> Fault | None:
        """Inject one fault. Returns None when there was no target within TARGET_LIMIT_S."""
        action, _, target = kind.partition("_")
        if kind in ("kill_several", "kill_all"):
            detail = self._kill_several() if target == "several" else self._kill_all()
        elif action == "kill":
            detail = self._signal(target, signal.SIGKILL)
        elif action == "pause":
            detail = self._pause(target)
        elif action == "failover":
            detail = self._fail_over()
        else:
            detail = self._damage_valkey(kind)
        if not detail:
            return None
        fault = Fault(time.monotonic() - self._started, kind, detail)
        self.faults.append(fault)
        return fault

    def resume(self, *, all_of_them: bool = False) -> None:
        """Resume the processes whose pause has ended, or all paused ones."""
        now = time.monotonic()
        for pause in [pause for pause in self._stopped if all_of_them or pause[0] <= now]:
            self._stopped.remove(pause)
            send(pause[1], signal.SIGCONT)

    # ---- processes ------------------------------------------------------------------------------

    def _wait_for_target(self, target: str) -> list[int]:
        """Wait for a process of the role or server. Returns [its pid], or [] after TARGET_LIMIT_S."""
        find: dict[str, Callable[[], list[int]]] = {
            "postgres": self._engine.postmaster,
            "valkey": self._engine.valkey,
        }
        until = time.monotonic() + TARGET_LIMIT_S
        while time.monotonic() < until:
            if pids := find.get(target, lambda: self._engine.role_pids(target))():
                return [self._dice.choice(pids)]
            self.resume()
            time.sleep(0.02)
        return []

    def _signal(self, target: str, number: signal.Signals) -> str:
        pids = self._wait_for_target(target)
        return f"{target} {pids[0]}" if send(pids, number) else ""

    def _kill_several(self) -> str:
        targets = self._dice.sample(
            ["edge", "workers", "api", "valkey", "postgres"], self._dice.randint(2, 4)
        )
        pids_by_target = {target: self._wait_for_target(target) for target in targets}
        send([pid for pids in pids_by_target.values() for pid in pids], signal.SIGKILL)
        return ", ".join(f"{target} {pids[0]}" for target, pids in pids_by_target.items() if pids)

    def _kill_all(self) -> str:
        self.resume(all_of_them=True)
        killed_pid = self._engine.launcher_pid
        self._engine.crash()
        self._engine.restart()
        return f"up {killed_pid}, started again as {self._engine.launcher_pid}"

    def _pause(self, target: str) -> str:
        if target == "postgres":
            # The postmaster's children too, because they would go on to the end of their statements.
            pids = self._engine.postgres_processes() if self._wait_for_target(target) else []
        else:
            pids = self._wait_for_target(target)
        if not send(pids, signal.SIGSTOP):
            return ""
        seconds = self._dice.uniform(*PAUSES_S[target])
        self._stopped.append((time.monotonic() + seconds, pids))
        return f"{target} {pids[0]} for {seconds:.1f} s"

    def _fail_over(self) -> str:
        """Have an asynchronous standby that is behind take the place of Postgres, which dies."""
        if not self._wait_for_target("postgres"):
            return ""
        self.resume(all_of_them=True)
        with Standby(self._engine.layout, self._engine.folder / "standby") as standby:
            standby.promote()
            promoted_at = time.monotonic()
            time.sleep(self._dice.uniform(*LAGS_S))
            # Before the old one dies, because the launcher may restart it as soon as it is dead.
            pids = self._engine.postgres_processes()
            standby.take_over()
            send(pids, signal.SIGKILL)
            return f"postgres {pids[:1]} by a standby {time.monotonic() - promoted_at:.1f} s behind"

    # ---- Valkey's data --------------------------------------------------------------------------

    def _damage_valkey(self, kind: str) -> str:
        if kind in ("wipe_valkey", "older_valkey"):
            return self._replace_file(older=kind == "older_valkey")
        until = time.monotonic() + TARGET_LIMIT_S
        while time.monotonic() < until:
            self.resume()
            with contextlib.suppress(redis.RedisError), self._client() as client:
                return _damage_streams(client, kind)
            time.sleep(0.02)
        return ""

    @contextlib.contextmanager
    def _client(self) -> Iterator[Any]:
        client = redis.Redis.from_url(self._engine.redis_url, socket_timeout=1.0)
        try:
            yield client
        finally:
            client.close()

    def _replace_file(self, *, older: bool) -> str:
        """Kill Valkey so that it restarts without data, or with its data of OLDER_S ago."""
        folder = self._engine.layout.valkey / "appendonlydir"
        copy = self._engine.folder / "older"
        pids = self._wait_for_target("valkey")
        if not pids:
            return ""
        if older:
            _copy(folder, copy)
            time.sleep(OLDER_S)
        # The files first, because the launcher may restart Valkey as soon as it is dead.
        shutil.rmtree(folder, ignore_errors=True)
        if older:
            _copy(copy, folder)
        send(pids, signal.SIGKILL)
        return f"valkey {pids[0]}, {f'its file is {OLDER_S:g} s older' if older else 'its file is gone'}"


def _copy(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    with contextlib.suppress(OSError, shutil.Error):
        shutil.copytree(source, target)


def _damage_streams(client: Any, kind: str) -> str:
    keys = sorted(client.scan_iter("waypost:*:clicks", count=1000))
    if kind == "flush_valkey":
        client.flushall()
    for key in keys:
        if kind == "trim_stream":
            client.xtrim(key, maxlen=0, approximate=False)
        elif kind == "delete_stream":
            client.delete(key)
    return f"{len(keys)} streams"
