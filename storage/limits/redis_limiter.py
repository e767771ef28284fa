"""Rate limits that many processes share, in Redis, by one Lua script.

Redis keys                                type    deleted by
waypost:rate:<rate>:{<subject's hash>}   string  its own expiry, once the TAT in it has passed

The value is the TAT of `engine.limits.rate`, in microseconds of the server's clock (TIME), so the clocks of
clients do not matter. A server runs one script at a time, and the script both reads and stores a TAT, so
decisions are atomic.

A subject may be an IP address, which an append-only file would keep. So a key has only the subject's keyed
hash, under a secret that is not in Redis. Processes that share limits share the secret.

One call decides all charges. In a cluster each charge needs a call of its own, as their keys are in different
slots. A server that loses its data loses only the past of the limits.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import trio
from redis.exceptions import NoScriptError

from engine.common.errors import UnavailableError
from engine.limits.ports import Charge
from engine.limits.rate import RateDecision
from storage.redis.client import RedisServer, Script

MAX_CHARGES: Final = 16
MIN_SECRET_BYTES: Final = 16

# `engine.limits.rate.decide`, on each key with three arguments: T, D, and c * T. Doubles hold all of its
# numbers exactly until the year 2255. A clock other than the server's may be slower, so its keys
# expire a minute later.
_DECIDE: Final = Script("""
local now, spare_ms = tonumber(ARGV[1]), 60000
if not now then
  local time = redis.call('TIME')
  now, spare_ms = time[1] * 1000000 + time[2], 0
end
local answers = {now}
for i, key in ipairs(KEYS) do
  local interval = tonumber(ARGV[3 * i - 1])
  local tolerance = tonumber(ARGV[3 * i])
  local used = tonumber(ARGV[3 * i + 1])
  local tat = tonumber(redis.call('GET', key) or now) or now
  local ahead = math.min(math.max(tat - now, 0), tolerance)
  local changed = tat - now > tolerance
  local after = ahead + used
  local allowed, wait = 1, 0
  if after <= tolerance then
    ahead, changed = after, changed or used > 0
  else
    allowed = 0
    wait = used <= tolerance and after - tolerance or -1
  end
  if changed then
    redis.call('SET', key, string.format('%.0f', now + ahead),
      'PX', string.format('%.0f', math.ceil(ahead / 1000) + spare_ms))
  end
  answers[i + 1] = {allowed, math.floor((tolerance - ahead) / interval), wait, ahead}
end
return answers
""")


class TimedRateDecision(NamedTuple):
    """A decision, and its time by the limiter's clock."""

    at_us: int
    decision: RateDecision


class RedisRateLimiter:
    """RateLimiter on Redis. Raises UnavailableError after `timeout_ms` at the latest.

    `clock_us` replaces the server's clock, for tests. Raises ValueError for a short secret.

    A charge may be sent again after its reply was lost, and then counts twice: a limit is never exceeded.
    """

    def __init__(
        self,
        server: RedisServer,
        secret: bytes,
        *,
        timeout_ms: int = 100,
        clock_us: Callable[[], int] | None = None,
    ) -> None:
        if not MIN_SECRET_BYTES <= len(secret) <= hashlib.blake2b.MAX_KEY_SIZE:
            raise ValueError("the secret must have 16 to 64 bytes")
        self._server = server
        self._secret = secret
        self._timeout_ms = timeout_ms
        self._clock_us = clock_us

    async def decide(self, charges: Sequence[Charge]) -> list[RateDecision]:
        return [decision for _, decision in await self.timed(charges)]

    async def timed(self, charges: Sequence[Charge]) -> list[TimedRateDecision]:
        """Like decide(), with the time of each decision, in the order of the charges."""
        check_charges(charges)
        if not charges:
            await trio.lowlevel.checkpoint()
            return []
        now = b"" if self._clock_us is None else b"%d" % self._clock_us()
        calls = [[charge] for charge in charges] if self._server.clustered else [list(charges)]
        with trio.move_on_after(self._timeout_ms / 1000):
            replies = await self._server.run(
                _run_all, [self._call(now, charges) for charges in calls]
            )
            return [
                TimedRateDecision(call_reply[0], _decision(charge, answer))
                for call_reply, charges in zip(replies, calls, strict=True)
                for charge, answer in zip(charges, call_reply[1:], strict=True)
            ]
        raise UnavailableError(f"Redis does not answer within {self._timeout_ms} ms")

    def _call(self, now: bytes, charges: list[Charge]) -> "_ScriptCall":
        args: list[str | bytes | int] = [self._key(charge) for charge in charges]
        args.append(now)
        for rate, _, cost in charges:
            # A cost above the burst is never allowed, so its size does not matter: keep the number small.
            used_us = min(cost, rate.burst + 1) * rate.interval_us
            args += (rate.interval_us, rate.tolerance_us, used_us)
        return _ScriptCall(self._server.commands, len(charges), args)

    def _key(self, charge: Charge) -> str:
        # A typed e-mail address may hold lone surrogates, which are not valid Unicode.
        subject = charge.subject.encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(subject, key=self._secret, digest_size=16)
        return f"waypost:rate:{charge.rate.name}:{{{digest.hexdigest()}}}"


class _ScriptCall(NamedTuple):
    """A call of the script on `keys` keys, which come first in `args`."""

    client: Any
    keys: int
    args: list[str | bytes | int]

    async def run(self) -> Any:
        try:
            return await self.client.evalsha(_DECIDE.sha1, self.keys, *self.args)
        except NoScriptError:
            return await self.client.eval(_DECIDE.text, self.keys, *self.args)


async def _run_all(calls: list[_ScriptCall]) -> list[Any]:
    """Return the replies of all calls, in order. Raises the first error after all calls have ended."""
    if len(calls) == 1:
        return [await calls[0].run()]
    replies = await asyncio.gather(*(call.run() for call in calls), return_exceptions=True)
    for reply in replies:
        if isinstance(reply, BaseException):
            raise reply
    return replies


def _decision(charge: Charge, reply: list[int]) -> RateDecision:
    allowed, remaining, wait_us, reset_us = reply
    retry_us = None if wait_us < 0 else wait_us
    return RateDecision(bool(allowed), charge.rate.burst, remaining, retry_us, reset_us)


def check_charges(charges: Sequence[Charge]) -> None:
    """Raise ValueError for too many charges, or a negative cost."""
    if len(charges) > MAX_CHARGES:
        raise ValueError(f"at most {MAX_CHARGES} charges at once, not {len(charges)}")
    if any(charge.cost < 0 for charge in charges):
        raise ValueError("the cost must not be negative")
