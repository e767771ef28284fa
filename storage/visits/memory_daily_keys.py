"""The in-memory twin of storage/visits/daily_keys.py."""

from collections.abc import Sequence

from engine.visits.daily_key import DailyKey, best


class MemoryKeyStore:
    """`LocalKeyStore` in memory: the edges of one machine share the object."""

    def __init__(self) -> None:
        self.keys: dict[int, DailyKey] = {}

    def exchange(self, keys: Sequence[DailyKey], now_us: int) -> dict[int, DailyKey]:
        self.keys = best([*self.keys.values(), *keys], now_us)
        return dict(self.keys)
