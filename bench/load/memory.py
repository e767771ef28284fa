"""Memory of an engine's processes, by role."""

import contextlib
import re
from pathlib import Path

from bench.load.crashable_engine import CrashableEngine


def resident_mb(engine: CrashableEngine) -> dict[str, float]:
    """Return the resident memory in MB (10^6 bytes) by role.

    `up`, `edge`, `api` and `workers` are the sums of their processes. `postgres` (without `postgres_buffers`)
    and `valkey` are the sums of theirs with shared pages counted once: Valkey forks while it rewrites its
    file.
    """
    mb_by_name = {"up": _status_mb(engine.launcher_pid)}
    for role in ("edge", "api", "workers"):
        mb_by_name[role] = sum(map(_status_mb, engine.role_pids(role)))
    mb_by_name["valkey"] = sum(map(_shared_mb, engine.valkey()))
    mb_by_name["postgres_buffers"] = sum(map(_buffers_mb, engine.postgres_processes()))
    mb_by_name["postgres"] = (
        sum(map(_shared_mb, engine.postgres_processes())) - mb_by_name["postgres_buffers"]
    )
    return {name: round(mb, 1) for name, mb in mb_by_name.items()}


def growth_mb(before: dict[str, float], samples: list[dict[str, float]]) -> dict[str, float]:
    """Return by role how far the largest sample lies above `before`, in MB."""
    return {
        name: round(max((sample[name] for sample in samples), default=mb) - mb, 1)
        for name, mb in before.items()
    }


def _status_mb(pid: int) -> float:
    return _field_mb(Path(f"/proc/{pid}/status"), "VmRSS")


def _shared_mb(pid: int) -> float:
    """Return memory with each page divided by the number of its processes; RSS where the kernel has no PSS."""
    return _field_mb(Path(f"/proc/{pid}/smaps_rollup"), "Pss") or _status_mb(pid)


def _buffers_mb(pid: int) -> float:
    return _field_mb(Path(f"/proc/{pid}/smaps_rollup"), "Pss_Shmem")


def _field_mb(path: Path, name: str) -> float:
    with contextlib.suppress(OSError):
        if match := re.search(rf"^{name}:\s+(\d+) kB", path.read_text(), re.MULTILINE):
            return int(match[1]) * 1024 / 1e6
    return 0.0
