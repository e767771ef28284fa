"""Exactly-once counting: small runs of `python -m bench chaos`, and a full journal."""

import signal
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from bench.chaos import ChaosOptions, failures, run
from bench.kit import link_set
from bench.kit.errors import BenchError
from bench.load.click_audit import audit
from bench.load.crashable_engine import CrashableEngine, send
from bench.load.faults import WEIGHTS
from bench.load.load import Load
from bench.load.load import LoadPlan as LoadPlan
from bench.load.sabotage import SABOTAGES

pytestmark = pytest.mark.slow

KINDS = tuple(WEIGHTS)
LIMIT_S = 40.0


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("seed", "kinds", "edges"), [(1, KINDS[0::2], 1), (2, KINDS[1::2], 2)], ids=["one", "two-edges"]
)
def test_each_kind_of_fault_leaves_counts_exact(
    seed: int, kinds: tuple[str, ...], edges: int
) -> None:
    plan = ChaosOptions(len(kinds), seed, rate=600, links=40, edges=edges, kinds=kinds)
    result = run(plan._replace(between_s=(0.1, 0.3), min_answered=1001))
    assert failures(result) == [], result
    assert result["kills"] == len(kinds)
    assert result["answered"] > 1000
    assert 0 <= result["counted"] - result["answered"] <= result["unanswered"]
    assert result["clicks_unrecorded"] == result["dead_lettered"] == 0


@pytest.mark.large
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", sorted(SABOTAGES))
def test_a_sabotaged_engine_fails(name: str) -> None:
    # These faults fall between two transactions, or lose data that only Valkey has. The engine gets time to
    # commit between two faults: otherwise the second would find no new commit to break.
    kinds: tuple[str, ...] = ("kill_workers", "kill_workers", "flush_valkey", "kill_edge") * 4
    if name == "highest":
        kinds = ("failover_postgres",)  # an edge that starts anew believes Postgres
    plan = ChaosOptions(len(kinds), 1, rate=3000, links=100, edges=1, kinds=kinds, sabotage=name)
    try:
        findings = failures(run(plan._replace(between_s=(1.5, 3.0))))
    except BenchError as error:
        findings = [str(error)] * ("were not committed within" in str(error))
    assert findings  # wrong counts, or journals that stand still for ever


@pytest.mark.thorough
def test_a_full_journal_counts_its_unrecorded_clicks() -> None:
    """Postgres is paused under load until the journal has reached its largest size.

    Redirects go on, and each is counted or in `waypost_clicks_unrecorded_total`.
    """
    settings = {
        "WAYPOST_JOURNAL_SEGMENT_BYTES": str(2 * 1024 * 1024),
        "WAYPOST_JOURNAL_MAX_BYTES": str(4 * 1024 * 1024),
    }
    links = link_set.sample_links(20)
    with CrashableEngine(1, settings) as engine:
        engine.fill(links)

        def unrecorded() -> int:
            return int(engine.metrics().get("waypost_clicks_unrecorded_total", 0))

        with a_load(engine, links, rate=8000) as load:
            until(lambda: load.account.answered > 500)
            postgres = engine.postgres_processes()
            send(postgres, signal.SIGSTOP)
            try:
                until(lambda: unrecorded() > 1000)
                answered_before = load.account.answered
                until(lambda: load.account.answered > answered_before + 1000)
            finally:
                send(postgres, signal.SIGCONT)
            until(lambda: not grows(unrecorded))
            load.stop()
        settled = engine.settle()
        unrecorded_clicks = int(settled.metrics["waypost_clicks_unrecorded_total"])
        findings = audit(engine, links, load.account)
    assert findings.unanswered == findings.refused == 0
    assert findings.answered == findings.counted + unrecorded_clicks
    assert findings.lost == unrecorded_clicks
    assert findings.duplicated == findings.phantoms == findings.rollup_mismatches == 0
    assert findings.dimension_mismatches == 0


def a_load(engine: CrashableEngine, links: list[link_set.SampleLink], rate: float) -> Load:
    url = urlsplit(engine.visitors_url)
    assert url.hostname
    assert url.port
    paths = [link.path for link in links]
    plan = LoadPlan(host=url.hostname, port=url.port, paths=paths, rate=rate)
    return Load(engine.folder, plan)


def until(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not check():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def grows(count: Callable[[], int]) -> bool:
    before = count()
    time.sleep(1.2)  # longer than the journal's wait before it tries to record again
    return count() > before
