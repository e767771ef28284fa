"""wrk as the load: one thread, requests of browsers from a file, results as JSON.

wrk measures in a closed loop: each connection sends its next request after its response. So latencies under
full load are those of a queue of `connections`, and a stall delays only `connections` requests instead of all
that would have come meanwhile (coordinated omission). These latencies compare servers in one run, but do not
tell how long a visitor would wait.
"""

import json
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from bench.kit.errors import BenchError
from bench.load.processes import load_output

INSTALL = "apt-get install wrk nginx-light"
_PREFIX = "waypost-bench "

# Requests are read once, before wrk's clock starts, because building them would take time of the load's core.
_SCRIPT = """
local heads, count, at, once, pause_ms, wanted = {}, 0, 0, @ONCE@, @PAUSE_MS@, @STATUS@
local threads = {}
other = 0

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  local file = assert(io.open(@FILE@, "rb"))
  for head in file:read("*a"):gmatch("(.-\\r\\n\\r\\n)") do
    count = count + 1
    heads[count] = head
  end
  file:close()
end

function request()
  if once and at == count then end_run() end
  at = at % count + 1
  return heads[at]
end

if pause_ms > 0 then
  function delay()
    return math.random(pause_ms / 2, pause_ms * 3 / 2)
  end
end

if wanted > 0 then
  function response(status)
    if status ~= wanted then other = other + 1 end
  end
end

function end_run()
  local ffi = require("ffi")
  ffi.cdef("int getpid(void); int kill(int pid, int signal);")
  ffi.C.kill(ffi.C.getpid(), 2)
  once = false
end

function done(summary, latency, requests)
  local errors = summary.errors
  local others = 0
  for _, thread in ipairs(threads) do others = others + thread:get("other") end
  io.write(string.format(
    '@MARK@{"requests":%d,"duration_us":%d,"bytes":%d,"connect":%d,"read":%d,"write":%d,' ..
    '"status":%d,"timeout":%d,"other":%d,"p50_us":%d,"p90_us":%d,"p99_us":%d,"p999_us":%d,"max_us":%d}\\n',
    summary.requests, summary.duration, summary.bytes, errors.connect, errors.read, errors.write,
    errors.status, errors.timeout, others, latency:percentile(50),
    latency:percentile(90), latency:percentile(99), latency:percentile(99.9), latency.max))
end
"""


class WrkResult(NamedTuple):
    """Result of a run of wrk. `errors` holds counts by kind.

    `requests` is the number of complete responses; without `errors`, each has a status below 400.
    """

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
    """Return the path of wrk. Raises BenchError that says what to install."""
    path = shutil.which("wrk")
    if path is None:
        raise BenchError(f"wrk is not installed: {INSTALL}")
    return path


def run(
    url: str,
    heads: Path,
    *,
    seconds: int,
    connections: int,
    cores: Collection[int],
    once: bool = False,
    pause_ms: int = 0,
    status: int = 0,
) -> WrkResult:
    """Load `url` for `seconds` with the requests in the file `heads`, repeatedly; with `once`, until each was
    sent, if that takes less time. A connection waits about `pause_ms` before each request. With a `status`,
    other answers are errors (`other`). Raises BenchError."""
    script = heads.with_suffix(".lua")
    values = {"FILE": json.dumps(str(heads)), "MARK": _PREFIX, "ONCE": json.dumps(once)}
    values |= {"PAUSE_MS": str(pause_ms), "STATUS": str(status)}
    text = _SCRIPT
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    script.write_text(text)
    command = [find(), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    command += ["-s", str(script), url]
    return parse(load_output("wrk", command, cores, seconds=seconds))


def parse(output: str) -> WrkResult:
    """Parse the output of wrk and its script. Raises BenchError when the script's line is missing."""
    for line in output.splitlines():
        if line.startswith(_PREFIX):
            return _result(json.loads(line.removeprefix(_PREFIX)))
    raise BenchError(f"wrk printed no results: {output.strip()[-300:]}")


def _result(fields: dict[str, int]) -> WrkResult:
    kinds = ("connect", "read", "write", "status", "timeout", "other")
    return WrkResult(
        requests=fields["requests"],
        seconds=fields["duration_us"] / 1e6,
        p50_ms=fields["p50_us"] / 1e3,
        p90_ms=fields["p90_us"] / 1e3,
        p99_ms=fields["p99_us"] / 1e3,
        p999_ms=fields["p999_us"] / 1e3,
        max_ms=fields["max_us"] / 1e3,
        errors={kind: fields[kind] for kind in kinds if fields[kind]},
    )
