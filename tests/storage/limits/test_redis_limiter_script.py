"""The rate limiter's script: equal to decide() of engine/limits/rate.py on random charges."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.limits.ports import Charge
from engine.limits.rate import Rate, decide
from storage.limits.redis_limiter import RedisRateLimiter, TimedRateDecision
from storage.redis.client import RedisServer
from tests.kit.hosted import hosted_run
from tests.storage.limits.test_redis_limiter import ADDRESS, KEY, PATIENT_MS, SECRET, Clock, S

RATES = [KEY, ADDRESS, Rate("odd", 7, 13, 5), Rate("one", 1, 300)]
WAITS_US = st.one_of(st.just(0), st.integers(0, 20 * S), st.integers(-400 * S, 400 * S))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(RATES),
            st.sampled_from("ab"),
            st.integers(0, 7),
            WAITS_US,
        ),
        max_size=60,
    )
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.slow
def test_the_script_decides_as_the_python_function(
    redis_url: str, charges: list[tuple[Rate, str, int, int]]
) -> None:
    async def play() -> None:
        clock, tats_us = Clock(), dict[tuple[str, str], int]()
        server = await RedisServer.open(redis_url, size=1)
        try:
            await server.run(server.commands.flushdb)
            limiter = RedisRateLimiter(server, SECRET, timeout_ms=PATIENT_MS, clock_us=clock)
            for rate, subject, cost, wait_us in charges:
                clock.now_us += wait_us
                key = (rate.name, subject)
                tat_us = tats_us.get(key, 0)
                expected = decide(rate, tat_us, clock.now_us, cost)
                decisions = await limiter.timed([Charge(rate, subject, cost)])
                assert decisions == [TimedRateDecision(clock.now_us, expected)]
                beyond = tat_us - clock.now_us > rate.tolerance_us
                if (expected.allowed and cost) or beyond:
                    tats_us[key] = clock.now_us + expected.reset_after_us
        finally:
            await server.close()

    hosted_run(play)
