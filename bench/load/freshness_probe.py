"""Probe of freshness: the time from a click's response until the API's stats count it."""

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
    """Clicks, one after the other, on a link without other visitors. `delays_ms` has one delay per click."""

    def __init__(self, engine: CrashableEngine, profile_id: str) -> None:
        self._console = engine.console
        self._visitor = Client(engine.visitors_url)
        self._profile_id = profile_id
        self._dice = random.Random(1)  # noqa: S311
        self.delays_ms: list[float] = []

    def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        try:
            while time.monotonic() < until:
                # Random, so that clicks are not in phase with an interval of the engine.
                time.sleep(self._dice.uniform(0, 0.25))
                self.delays_ms.append(self._measure_s() * 1000)
        finally:
            self._visitor.close()

    def _measure_s(self) -> float:
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
        response = self._console.get(f"/v1/profiles/{self._profile_id}/stats?{query}")
        return int(response["totals"]["clicks"])
