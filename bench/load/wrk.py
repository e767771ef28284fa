"""wrk as the load: one thread, browsers' requests from a file, figures as JSON.

wrk measures in a closed loop: each connection sends its next request when it has its answer. So
latencies under full load are those of a queue of `connections`, and a stall is felt by
`connections` requests, not by all that would have come meanwhile (coordinated omission). They
compare servers in one run; they do not say what a visitor would wait.
"""

import json
import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from bench.kit.errors import BenchError
from bench.load.processes import on_cores

INSTALL = "apt-get install wrk nginx-light"
EXTRA_LIMIT_S = 30.0
_MARK = "waypost-bench "

# Requests are read once, before wrk's clock starts: building them would cost the load's core.
_SCRIPT = """
local heads, count, at = {}, 0, 0

function init(args)
  local file = assert(io.open(@FILE@, "rb"))
  for head in file:read("*a"):gmatch("(.-\\r\\n\\r\\n)") do
    count = count + 1
    heads[count] = head
  end
  file:close()
end

function request()
  at = at % count + 1
  return heads[at]
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '@MARK@{"requests":%d,"duration_us":%d,"bytes":%d,"connect":%d,"read":%d,"write":%d,' ..
    '"status":%d,"timeout":%d,"p50_us":%d,"p90_us":%d,"p99_us":%d,"p999_us":%d,"max_us":%d}\\n',
    summary.requests, summary.duration, summary.bytes, errors.connect, errors.read, errors.write,
    errors.status, errors.timeout, latency:percentile(50), latency:percentile(90),
    latency:percentile(99), latency:percentile(99.9), latency.max))
end
"""


class WrkResult(NamedTuple):
    """One run of wrk. `requests` were answered completely and with a status below 400, unless
    there are `errors`, which name their kind and count."""

    requests: int
    seconds: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    errors: dict[str, int]

    @property
    def rps(self) -> float:
        return self.requests / self.seconds


def find() -> str:
    """wrk's path. Raises BenchError that says what to install."""
    found = shutil.which("wrk")
    if found is None:
        raise BenchError(f"wrk is not installed: {INSTALL}")
    return found


def run(
    url: str, heads: Path, *, seconds: int, connections: int, cores: Collection[int]
) -> WrkResult:
    """Load `url` with the requests in the file `heads`, over and over, for `seconds`."""
    script = heads.with_suffix(".lua")
    script.write_text(_SCRIPT.replace("@FILE@", json.dumps(str(heads))).replace("@MARK@", _MARK))
    command = [find(), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    command += ["-s", str(script), url]
    try:
        with on_cores(cores):
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=seconds + EXTRA_LIMIT_S,
                process_group=0,
            )
    except subprocess.TimeoutExpired:
        raise BenchError(f"wrk did not end {EXTRA_LIMIT_S:g} s after its time") from None
    if done.returncode != 0:
        raise BenchError(f"wrk failed: {(done.stderr or done.stdout).strip()[-300:]}")
    return parse(done.stdout)


def parse(output: str) -> WrkResult:
    """Figures from what wrk and the script printed. Raises BenchError when they aren't there."""
    for line in output.splitlines():
        if line.startswith(_MARK):
            return _figures(json.loads(line.removeprefix(_MARK)))
    raise BenchError(f"wrk printed no figures: {output.strip()[-300:]}")


def _figures(found: dict[str, int]) -> WrkResult:
    kinds = ("connect", "read", "write", "status", "timeout")
    return WrkResult(
        requests=found["requests"],
        seconds=found["duration_us"] / 1e6,
        p50_ms=found["p50_us"] / 1e3,
        p90_ms=found["p90_us"] / 1e3,
        p99_ms=found["p99_us"] / 1e3,
        p999_ms=found["p999_us"] / 1e3,
        max_ms=found["max_us"] / 1e3,
        errors={kind: found[kind] for kind in kinds if found[kind]},
    )
