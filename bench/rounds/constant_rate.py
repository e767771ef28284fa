"""Load at a constant rate, with latencies from the time at which each request was due.

The program is bench/rounds/constant_rate.c, which costs a few µs a request. It waits for no answer before the
next request, so its latencies hold what a visitor would wait, a stall included. It may share its core with
all but the measured server: `late_p99_ms` says how much later than due requests were sent.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from bench.load.processes import load_output
from bench.servers import c_programs

_SOURCE: Final = Path(__file__).with_name("constant_rate.c")


class RateResult(NamedTuple):
    """Result of a run. `errors` holds counts by kind; `unsent` requests found no free connection in time."""

    requests: int
    seconds: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    errors: dict[str, int]
    unsent: int
    late_p99_ms: float

    @property
    def rps(self) -> float:
        return self.requests / self.seconds


def build(folder: Path) -> Path:
    """Compile the program into the folder. Returns its path. Raises BenchError."""
    return c_programs.build(_SOURCE, folder)


def run(
    program: Path,
    url: str,
    heads: Path,
    *,
    rate: int,
    seconds: int,
    connections: int,
    cores: Collection[int],
) -> RateResult:
    """Load `url` with the requests in the file `heads`, `rate` of them per second. Raises BenchError."""
    port = urlsplit(url).port
    command = [str(word) for word in (program, port, heads, connections, rate, seconds)]
    return parse(load_output("the load", command, cores, seconds=2 * seconds))


def parse(output: str) -> RateResult:
    """Parse the program's line of JSON."""
    fields = json.loads(output)
    kinds = ("read", "write", "status", "timeout")
    return RateResult(
        requests=fields["requests"],
        seconds=fields["duration_us"] / 1e6,
        p50_ms=fields["p50_us"] / 1e3,
        p90_ms=fields["p90_us"] / 1e3,
        p99_ms=fields["p99_us"] / 1e3,
        p999_ms=fields["p999_us"] / 1e3,
        max_ms=fields["max_us"] / 1e3,
        errors={kind: fields[kind] for kind in kinds if fields[kind]},
        unsent=fields["unsent"],
        late_p99_ms=fields["late_p99_us"] / 1e3,
    )
