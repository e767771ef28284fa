"""Freshness: how long after its answer a click is in the stats of the API."""

import random
import time
from datetime import UTC, datetime
from urllib.parse import urlencode

from bench.kit.errors import BenchError
from bench.kit.link_set import SampleLink
from bench.load import browsers
from bench.load.client import Client
from bench.load.crashable_engine import CrashableEngine

PROBE = SampleLink("probe", "probe", "https://www.example.org/probe", "FreshnessProbe")
POLL_S = 0.004
LIMIT_S = 30.0


class FreshnessProbe:
    """Clicks on a link that nobody else visits, one after the other."""

    def __init__(self, engine: CrashableEngine, profile_id: str) -> None:
        self._console = engine.console
        self._visitor = Client(engine.visitors_url)
        self._profile_id = profile_id
        self._dice = random.Random(1)  # noqa: S311
        self.seen_ms: list[float] = []

    def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        try:
            while time.monotonic() < until:
                # Not in step with anything that the engine does in intervals.
                time.sleep(self._dice.uniform(0, 0.25))
                self.seen_ms.append(self._once() * 1000)
        finally:
            self._visitor.close()

    def _once(self) -> float:
        before = self._clicks()
        status, _ = self._visitor.location(PROBE.path, browsers.USER_AGENT)
        answered = time.monotonic()
        if status != 302:
            raise BenchError(f"the probe was answered {status}")
        while self._clicks() == before:
            if time.monotonic() > answered + LIMIT_S:
                raise BenchError(f"a click was not in the stats after {LIMIT_S:g} s")
            time.sleep(POLL_S)
        return time.monotonic() - answered

    def _clicks(self) -> int:
        day = datetime.now(UTC).date().isoformat()
        query = urlencode({"from": day, "interval": "hour"})
        answer = self._console.get(f"/v1/profiles/{self._profile_id}/stats?{query}")
        return int(answer["totals"]["clicks"])
