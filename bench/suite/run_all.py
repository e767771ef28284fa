"""All benchmarks, one after the other, into one results file: `python -m bench all`.

Each benchmark runs as a process of its own, and its result is appended to `--results FILE` as a line of JSON.
What it prints goes to `FILE.log`. A benchmark that fails is recorded with its error, and the next one runs. A
second call with the same file goes on with what is missing; `--retry` runs failed ones again. Ctrl-C stops the
benchmark that runs, which is then missing.

Exit code 0: everything is measured and every check held; 1: a benchmark failed; 2: the file cannot be used;
130: interrupted.
"""

import fcntl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

import click
import msgspec
from rich.table import Table

from bench.kit.errors import BenchError
from bench.kit.report import cells, show
from bench.load.processes import BackgroundProcess
from bench.suite import plan
from bench.suite.environment import commit, host
from bench.suite.machine import package_version
from bench.suite.options import require_writable
from bench.suite.plan import Step, Turn
from bench.suite.progress import SuiteProgress
from bench.suite.result import SCHEMA_VERSION, BenchResult
from bench.suite.result_file import append_result, read_finished, read_results

DEFAULT_FILE: Final = Path("bench-results.jsonl")
STOP_LIMIT_S: Final = 60.0
LOOK_S: Final = 0.5
MAX_LOG_BYTES: Final = 1_048_576
_ERROR_LINES: Final = 5


class SuiteRun:
    """Run of what is missing in a results file."""

    def __init__(self, file: Path, log: IO[bytes], progress: SuiteProgress) -> None:
        self._file = file
        self._log = log
        self._progress = progress

    def run(self, turns: Sequence[Turn]) -> None:
        """Measure each turn. Raises BenchError when the results file cannot be written."""
        for turn in turns:
            self._progress.begin(turn.step.title)
            result = self._measure(turn.step)
            append_result(self._file, result)
            self._progress.end(turn.step, result)

    def _measure(self, step: Step) -> BenchResult:
        started_at, started = datetime.now(UTC), time.monotonic()
        with tempfile.TemporaryDirectory(prefix="waypost-bench-") as folder:
            output, own_file = Path(folder, "output"), Path(folder, "results")
            process = BackgroundProcess(step.child_command(str(own_file)), output)
            try:
                error = self._wait(process, step)
            finally:
                process.stop(STOP_LIMIT_S)
                self._keep_output(step, output)
            results = read_finished(own_file)
            if results and not error:
                return msgspec.structs.replace(results[0], command=step.command)
            code = process.process.returncode
            error = error or process.last_lines(_ERROR_LINES) or "it ended without a result"
        return failed_result(step, error, code, started_at, time.monotonic() - started)

    def _wait(self, process: BackgroundProcess, step: Step) -> str:
        """Wait for the end of a benchmark, and show what it says. Returns an error when it takes too long."""
        until = time.monotonic() + step.limit_s
        while time.monotonic() < until:
            try:
                process.process.wait(LOOK_S)
            except subprocess.TimeoutExpired:
                self._progress.say(last_line(process.log))
            else:
                return ""
        return f"it was stopped, as it took longer than {step.limit_s:,.0f} s"

    def _keep_output(self, step: Step, output: Path) -> None:
        """Append what a benchmark printed to the log of the suite."""
        text = output.read_bytes()[-MAX_LOG_BYTES:]
        self._log.write(f"==> {step.title}\n".encode() + text.rstrip(b"\n") + b"\n")
        self._log.flush()


def failed_result(
    step: Step, error: str, code: int | None, started_at: datetime, seconds: float
) -> BenchResult:
    """Return the result of a benchmark that gave none."""
    return BenchResult(
        schema=SCHEMA_VERSION,
        benchmark=step.benchmark,
        about="",
        does_not_say="",
        started_at=started_at,
        seconds=round(seconds, 2),
        command=step.command,
        version=package_version("waypost"),
        commit=commit(),
        machine=host({}),
        options={},
        quick="--quick" in step.options,
        exit_code=code or 1,
        exact=None,
        failures=[],
        error=error[-2_000:],
        measured=[],
        result={},
    )


def last_line(file: Path) -> str:
    """Return the last line of a benchmark's output."""
    with file.open("rb") as output:
        output.seek(max(0, output.seek(0, 2) - 4_096))
        lines = output.read().decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


@contextmanager
def only_run(file: Path) -> Iterator[IO[bytes]]:
    """Open the log of a results file for its only run. Raises BenchError when there is another."""
    path = file.with_name(f"{file.name}.log")
    require_writable(path)
    with path.open("ab") as log:
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BenchError(f"another run writes to {file}; name another file") from None
        yield log


def require_one_machine(file: Path, results: Sequence[BenchResult]) -> None:
    """Raise BenchError when results of another machine or commit are in the file."""
    here = host({})
    for result in results:
        for name, before, now in (
            ("processor", result.machine.cpu, here.cpu),
            ("number of cores", str(result.machine.cores), str(here.cores)),
            ("commit", result.commit, commit()),
        ):
            if before != now:
                raise BenchError(
                    f"{file} has results of another {name}, {before} instead of {now}; "
                    "name another file by --results"
                )


def failed(results: Sequence[BenchResult]) -> list[BenchResult]:
    """Return the latest result of each command, if it failed."""
    latest = {tuple(result.command): result for result in results}
    return [result for result in latest.values() if result.exit_code]


def outcome(result: BenchResult) -> str:
    """Return in a few words how a benchmark ended."""
    if result.error:
        return f"failed: {result.error}"
    return f"a check failed: {'; '.join(result.failures)}" if result.exit_code else "measured"


def table(results: Sequence[BenchResult]) -> Table:
    grid = Table(title="Benchmarks")
    for name in ("benchmark", "seconds", "outcome"):
        grid.add_column(name, justify="right" if name == "seconds" else "left")
    for result in results:
        title = " ".join(result.command[3:])
        grid.add_row(*cells(title, f"{result.seconds:,.0f}", outcome(result)[:200]))
    return grid


@click.command(
    help="All benchmarks into one results file; a second call goes on with what is missing."
)
@click.option("--results", "file", type=click.Path(dir_okay=False, path_type=Path),
              default=DEFAULT_FILE, show_default=True, help="file of JSON lines")  # fmt: skip
@click.option("--quick", is_flag=True, help="each benchmark once, with its short settings")
@click.option("--only", metavar="NAME,...", default="", help="these benchmarks only")
@click.option("--repeats", type=click.IntRange(1, 100), default=1, show_default=True,
              help="passes over all; a comparison of single numbers needs 3 of each side")  # fmt: skip
@click.option("--retry", is_flag=True, help="run what has failed again")
def command(file: Path, quick: bool, only: str, repeats: int, retry: bool) -> int:
    """Measure what is missing. Returns 1 when the latest run of a benchmark failed."""
    steps = chosen(plan.quick(plan.FULL) if quick else list(plan.FULL), only)
    turns = plan.turns(steps, repeats)
    require_writable(file)
    with only_run(file) as log:
        finished = read_finished(file)
        require_one_machine(file, finished)
        left = plan.missing(turns, finished, retry=retry)
        with SuiteProgress(len(turns), len(turns) - len(left)) as progress:
            if left:
                seconds = sum(turn.step.seconds for turn in left)
                planned = f"{seconds / 60:,.0f} minutes" if seconds >= 120 else f"{seconds} s"
                progress.line(f"{len(left)} to run, which is planned for {planned}")
            try:
                SuiteRun(file, log, progress).run(left)
            except KeyboardInterrupt:
                progress.line(f"interrupted; the same command goes on with what {file} lacks")
                raise
    results = read_results(file)
    show(table(results))
    print(f"python -m bench report {file} -o report.html makes a page of it")
    return 1 if failed(results) else 0


def chosen(steps: list[Step], names: str) -> list[Step]:
    """Return the steps of the named benchmarks, all without names. Raises UsageError for an unknown name."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    known = {step.benchmark for step in steps}
    for name in wanted:
        if name not in known:
            raise click.UsageError(f"there is no benchmark '{name}' in the suite")
    return [step for step in steps if not wanted or step.benchmark in wanted]
