"""Results of benchmarks that never ran, for the tests of the suite."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bench.suite.result import SCHEMA_VERSION, BenchResult, Better, Figure, Host

HOST = Host(
    cpu="A processor", cores=2, memory_mb=8000, kernel="6.1.0", python="3.11.9",
    versions={"waypost": "1.0", "nginx": "1.22.1", "code of visits": "compiled"},
)  # fmt: skip


def figure(
    name: str, value: float, runs: Sequence[float] = (), *, better: Better = "lower", **rest: Any
) -> Figure:
    return Figure(
        name=name, title=rest.pop("title", name), unit=rest.pop("unit", "µs"), value=value,
        better=better, runs=tuple(runs), **rest,
    )  # fmt: skip


def bench_result(
    benchmark: str,
    measured: Sequence[Figure] = (),
    *,
    options: Mapping[str, Any] | None = None,
    failures: Sequence[str] = (),
    **changes: Any,
) -> BenchResult:
    fields: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "benchmark": benchmark,
        "about": f"What {benchmark} measures.",
        "does_not_say": "what it is not",
        "started_at": datetime(2026, 12, 1, 10, tzinfo=UTC),
        "seconds": 12.5,
        "command": ["python", "-m", "bench", benchmark],
        "version": "1.0",
        "commit": "0123456789ab",
        "machine": HOST,
        "options": dict(options or {}),
        "quick": False,
        "exit_code": 1 if failures else 0,
        "exact": None,
        "failures": list(failures),
        "error": "",
        "measured": list(measured),
        "result": {"benchmark": benchmark},
    }
    return BenchResult(**fields | changes)
