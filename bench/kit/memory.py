"""Memory of an engine's processes, by what they are."""

import contextlib
import re
from pathlib import Path

from bench.load.crashable_engine import CrashableEngine


def resident_mb(engine: CrashableEngine) -> dict[str, float]:
    """Resident memory in MB (10^6 bytes): `up`, `edge`, `api` and `workers` as the kernel tells it, of
    several of one role the sum. `postgres` and `valkey` are all their processes, with what they share
    counted once: a Valkey that rewrites its file is two."""
    found = {"up": _status_mb(engine.parent)}
    for role in ("edge", "api", "workers"):
        found[role] = sum(map(_status_mb, engine.living(role)))
    found["valkey"] = sum(map(_shared_mb, engine.valkey()))
    found["postgres_buffers"] = sum(map(_buffers_mb, engine.postgres_processes()))
    found["postgres"] = (
        sum(map(_shared_mb, engine.postgres_processes())) - found["postgres_buffers"]
    )
    return {name: round(mb, 1) for name, mb in found.items()}


def growth_mb(before: dict[str, float], samples: list[dict[str, float]]) -> dict[str, float]:
    """By how much each was above what it was before, at most."""
    return {
        name: round(max((sample[name] for sample in samples), default=mb) - mb, 1)
        for name, mb in before.items()
    }


def _status_mb(pid: int) -> float:
    return _field_mb(Path(f"/proc/{pid}/status"), "VmRSS")


def _shared_mb(pid: int) -> float:
    """Each page divided by the number of processes that share it; plain RSS where that is not told."""
    return _field_mb(Path(f"/proc/{pid}/smaps_rollup"), "Pss") or _status_mb(pid)


def _buffers_mb(pid: int) -> float:
    return _field_mb(Path(f"/proc/{pid}/smaps_rollup"), "Pss_Shmem")


def _field_mb(path: Path, name: str) -> float:
    with contextlib.suppress(OSError):
        if found := re.search(rf"^{name}:\s+(\d+) kB", path.read_text(), re.MULTILINE):
            return int(found[1]) * 1024 / 1e6
    return 0.0
