"""A failover of Postgres to an asynchronous standby that lacks the last seconds, under a real engine."""

import signal
import time
from urllib.parse import urlsplit

import httpx
import pytest

from bench.kit import link_set
from bench.load.click_audit import audit
from bench.load.crashable_engine import CrashableEngine, send
from bench.load.load import Load, LoadPlan
from bench.load.standby import Standby

pytestmark = pytest.mark.large

LINKS = 20
RATE = 500
LIMIT_S = 60.0


class Failover:
    """An engine under load, and the standby that takes the place of its Postgres."""

    def __init__(self, engine: CrashableEngine) -> None:
        self.engine = engine
        self.links = link_set.sample_links(LINKS)
        engine.fill(self.links)
        url = urlsplit(engine.visitors_url)
        self.load = Load(
            engine.folder,
            LoadPlan(
                host=url.hostname or "",
                port=url.port or 0,
                paths=[link.path for link in self.links],
                rate=RATE,
            ),
        )

    def take_over(self, standby: Standby) -> None:
        pids = self.engine.postgres_processes()
        standby.take_over()
        send(pids, signal.SIGKILL)

    def wait_answered(self, more: int) -> None:
        target = self.load.account.answered + more
        until = time.monotonic() + LIMIT_S
        while self.load.account.answered < target:
            assert time.monotonic() < until
            time.sleep(0.05)

    def readiness(self) -> str:
        """Return the reasons of /readyz, empty if it is ready."""
        try:
            answer = httpx.get(f"{self.engine.console_url}/readyz", timeout=5)
        except httpx.HTTPError:
            return ""
        components = answer.json()["components"].values()
        return " ".join(part["reason"] for part in components if not part["ready"])

    def wait_said(self, words: str) -> None:
        until = time.monotonic() + LIMIT_S
        while words not in self.readiness():
            assert time.monotonic() < until, "never said"
            time.sleep(0.02)


@pytest.mark.parametrize("begins_later", [False, True], ids=["known", "unknown"])
def test_every_answered_click_is_counted_once_though_the_standby_lacks_them(
    begins_later: bool,
) -> None:
    """`begins_later`: the edge is killed after the standby's last moment, so the journal is unknown there."""
    with CrashableEngine(1, {"WAYPOST_LEASE_TTL_MS": "1000"}, workers=2) as engine:
        failover = Failover(engine)
        with failover.load, Standby(engine.layout, engine.folder / "standby") as standby:
            failover.wait_answered(RATE)
            standby.promote()
            if begins_later:
                send(engine.role_pids("edge"), signal.SIGKILL)
            failover.wait_answered(3 * RATE)
            failover.take_over(standby)
            failover.wait_said("Postgres lost commits")
            failover.wait_answered(RATE)
            failover.load.stop()
        settled = engine.settle()
        findings = audit(engine, failover.links, failover.load.account)
        assert findings.exact, findings
        assert findings.dead_lettered == 0
        assert settled.metrics["waypost_watermark_rollbacks_total"] >= 1
        assert settled.metrics["waypost_rolled_back_clicks_total"] > RATE
        assert settled.metrics["waypost_rolled_back_clicks_lost_total"] == 0
        assert settled.metrics["waypost_journals_standing_still"] == 0
        assert failover.readiness() == ""
        assert "watermark" in engine.logs() or "lost commits" in engine.logs()


def test_what_is_not_kept_is_counted_as_lost_and_nothing_stands_still() -> None:
    settings = {
        "WAYPOST_JOURNAL_KEPT_MS": "0",
        "WAYPOST_JOURNAL_SEGMENT_BYTES": str(2 * 1024 * 1024),
        "WAYPOST_JOURNAL_SEAL_MS": "1000",
    }
    with CrashableEngine(1, settings) as engine:
        failover = Failover(engine)
        with failover.load, Standby(engine.layout, engine.folder / "standby") as standby:
            failover.wait_answered(RATE)
            standby.promote()
            for _ in range(3):  # segments are sealed every 5 s
                failover.wait_answered(5 * RATE)
            failover.take_over(standby)
            failover.wait_said("Postgres lost commits")
            failover.wait_answered(RATE)
            failover.load.stop()
        settled = engine.settle()
        findings = audit(engine, failover.links, failover.load.account)
        lost = int(settled.metrics["waypost_rolled_back_clicks_lost_total"])
        assert lost > RATE
        assert findings.lost == lost
        assert findings.duplicated == findings.phantoms == findings.rollup_mismatches == 0


def test_edges_take_the_older_truth_and_then_the_newer_of_the_same_version() -> None:
    """The lost edit and the new one gave the profile the same version; edges tell them apart."""
    with CrashableEngine() as engine:
        failover = Failover(engine)
        profile = engine.profile_ids()[0]
        link = engine.console.get(f"/v1/profiles/{profile}/links?limit=1")["items"][0]
        handle = engine.console.get(f"/v1/profiles/{profile}")["handle"]

        def location() -> str:
            answer = httpx.get(f"{engine.visitors_url}/{handle}/{link['slug']}")
            return str(answer.headers.get("Location", ""))

        def edit(target: str) -> None:
            until = time.monotonic() + LIMIT_S
            while True:
                answer = httpx.patch(
                    f"{engine.console_url}/v1/links/{link['id']}",
                    json={"target": target},
                    headers={"Authorization": f"Bearer {engine.api_key}"},
                    timeout=10,
                )
                if answer.status_code == 200:
                    return
                assert time.monotonic() < until, answer.text
                time.sleep(0.1)

        def wait_for(target: str) -> None:
            until = time.monotonic() + LIMIT_S
            while location() != target:
                assert time.monotonic() < until, location()
                time.sleep(0.05)

        wait_for(link["target"])
        with Standby(engine.layout, engine.folder / "standby") as standby:
            standby.promote()
            edit("https://example.com/lost")
            wait_for("https://example.com/lost")
            failover.take_over(standby)
            wait_for(link["target"])
            edit("https://example.com/new")
            wait_for("https://example.com/new")
        assert engine.metrics()["waypost_profile_reloads_total"] >= 1
