"""Probe of freshness: the time from a click's response until the API's stats count it."""

import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
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
    """Clicks, one after the other, on a link without other visitors, each of its own campaign. `delays_ms` has
    a delay per click until the total counts it, `dimension_delays_ms` until its campaign does."""

    def __init__(self, engine: CrashableEngine, profile_id: str) -> None:
        self._console = engine.console
        self._visitor = Client(engine.visitors_url)
        self._profile_id = profile_id
        self._dice = random.Random(1)  # noqa: S311
        self.delays_ms: list[float] = []
        self.dimension_delays_ms: list[float] = []

    def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        try:
            while time.monotonic() < until:
                # Random, so that clicks are not in phase with an interval of the engine.
                time.sleep(self._dice.uniform(0, 0.25))
                self._measure()
        finally:
            self._visitor.close()

    def _measure(self) -> None:
        before = self._clicks()
        campaign = f"probe-{len(self.delays_ms)}"
        path = f"{PROBE.path}?utm_campaign={campaign}"
        status, _ = self._visitor.location(path, browsers.USER_AGENT)
        answered = time.monotonic()
        if status != 302:
            raise BenchError(f"the probe was answered {status}")
        total_s = campaign_s = 0.0
        while not (total_s and campaign_s):
            if not total_s and self._clicks() > before:
                total_s = time.monotonic() - answered
            if not campaign_s and self._clicks({"filter[utm_campaign]": campaign}):
                campaign_s = time.monotonic() - answered
            if time.monotonic() > answered + LIMIT_S:
                raise BenchError(f"a click was not in the stats after {LIMIT_S:g} s")
            time.sleep(POLL_S)
        self.delays_ms.append(total_s * 1000)
        self.dimension_delays_ms.append(campaign_s * 1000)

    def _clicks(self, filters: Mapping[str, str] = MappingProxyType({})) -> int:
        day = datetime.now(UTC).date().isoformat()
        query = urlencode({"from": day, "interval": "hour", **filters})
        response = self._console.get(f"/v1/profiles/{self._profile_id}/stats?{query}")
        return int(response["totals"]["clicks"])
