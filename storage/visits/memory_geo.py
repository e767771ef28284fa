"""The in-memory twin of storage/visits/geo.py."""

import trio

from engine.visits.place import pack_place


class MemoryPlaceLookup:
    """`PlaceLookup` with set places: country, or country and city, by address."""

    def __init__(self) -> None:
        self._places: dict[str, bytes] = {}
        self._changed = False

    def set_place(self, address: str, country: str, city: str = "") -> None:
        self._places[address] = pack_place("", country, "", city)
        self._changed = True

    def place(self, address: str) -> bytes:
        return self._places.get(address, b"")

    async def refresh(self) -> bool:
        await trio.lowlevel.checkpoint()
        changed, self._changed = self._changed, False
        return changed
