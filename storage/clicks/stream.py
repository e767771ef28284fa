"""The click streams in Redis: the way of an edge's journal to the aggregator. They may be lost.

Redis keys                          type     deleted by
waypost:{<journal id, hex>}:clicks  stream   the shipper: counted entries by `trim`, all of them by
                                             `reset`, when some were lost and when the journal is
                                             deleted

The braces put all keys of a journal into one slot of a cluster. An entry is a batch: id `<last>-0`,
fields `f` (first sequence) and `d` (the frames' bytes).

Theory: the journal is the truth, so a stream need not be safe, it only must never have a hole that
goes unnoticed. One shipper writes a stream, and every entry is added on condition that the last one
is its predecessor. `trim` always leaves the last entry, so what that was is known for as long as
Redis keeps its memory. When Redis forgets (a restart with an older AOF, a failover, FLUSHALL), the
stream ends elsewhere and the very next `add` is refused. The shipper then resets the stream and
ships again from the watermark; what was there twice is skipped by the ledger.

The rule of `add`, in one atomic script:
- the very same batch is the last entry: True (it was added and the answer was lost);
- the stream is empty: only with `previous` 0, as in the first life of a journal or after `reset`;
- else: only if the last entry's id is `previous`.

Rejected: XINFO's last-generated-id (outlives the entries), a second key for the last sequence (is
evicted or lost apart from the stream), XADD's own check (ids only have to grow, so a hole passes).
"""

from typing import Any, Final
from uuid import UUID

import trio

from engine.clicks.batch import Batch
from engine.common.errors import UnavailableError
from storage.redis.client import COMMAND_S, MAX_BLOCK_MS, RedisServer, Script, run_script

_ADD: Final = Script("""
local tail = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local id = tail and tail[1] or '0-0'
if id == ARGV[2] .. '-0' then
  local fields = tail[2]
  if fields[2] == ARGV[3] and fields[4] == ARGV[4] then return 1 end
  return 0
end
if id ~= ARGV[1] .. '-0' then return 0 end
redis.call('XADD', KEYS[1], ARGV[2] .. '-0', 'f', ARGV[3], 'd', ARGV[4])
return 1
""")

_LAST: Final = Script("""
local tail = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
return tail and tail[1] or false
""")

# Without an entry at or above the bound, all may go but the last.
_TRIM: Final = Script("""
if redis.call('XRANGE', KEYS[1], ARGV[1] .. '-0', '+', 'COUNT', 1)[1] then
  return redis.call('XTRIM', KEYS[1], 'MINID', '=', ARGV[1] .. '-0')
end
return redis.call('XTRIM', KEYS[1], 'MAXLEN', '=', 1)
""")


def stream_key(journal_id: UUID) -> str:
    return f"waypost:{{{journal_id.hex}}}:clicks"


class RedisClickStream:
    """`ClickStream` on Redis streams. All methods may be repeated after an UnavailableError."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server

    async def add(self, journal_id: UUID, previous: int, batch: Batch) -> bool:
        added = await self._run(
            _ADD, journal_id, str(previous), str(batch.last), str(batch.first), batch.payload
        )
        return bool(added)

    async def last(self, journal_id: UUID) -> int | None:
        entry_id = await self._run(_LAST, journal_id)
        return None if entry_id is None else _sequence(entry_id)

    async def reset(self, journal_id: UUID) -> None:
        await self._server.run(self._server.commands.execute_command, "DEL", stream_key(journal_id))

    async def trim(self, journal_id: UUID, below: int) -> None:
        await self._run(_TRIM, journal_id, str(below))

    async def read(
        self, journal_id: UUID, after: int, max_batches: int, wait_ms: int
    ) -> list[Batch]:
        """As the port says; waits at most MAX_BLOCK_MS, and COMMAND_S more for a server that is silent. An
        entry whose fields are missing has an empty payload, for the ledger to refuse."""
        # BLOCK 0 would wait for ever.
        block_ms = min(wait_ms, MAX_BLOCK_MS) if wait_ms > 0 else None
        client = self._server.blocking if block_ms else self._server.commands
        start: Any = {stream_key(journal_id): f"{after}-0"}
        with trio.move_on_after((block_ms or 0) / 1000 + COMMAND_S):
            reply: Any = await self._server.run(
                client.xread, start, count=max_batches, block=block_ms
            )
            return [_batch(*entry) for entry in reply[0][1]] if reply else []
        raise UnavailableError(f"Redis does not answer a read within {COMMAND_S:g} s")

    async def _run(self, script: Script, journal_id: UUID, *args: str | bytes) -> Any:
        return await self._server.run(
            run_script, self._server.commands, script, stream_key(journal_id), *args
        )


def _sequence(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0])


def _batch(entry_id: bytes, fields: dict[bytes, bytes]) -> Batch:
    last = _sequence(entry_id)
    return Batch(int(fields.get(b"f", last)), last, fields.get(b"d", b""))
