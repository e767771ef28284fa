"""The in-memory twin of storage/visits/geo.py."""

import trio

from engine.visits.place import pack_place


class MemoryPlaceLookup:
    """`PlaceLookup` as told: country, or country and city, by address."""

    def __init__(self) -> None:
        self._places: dict[str, bytes] = {}
        self._told = False

    def tell(self, address: str, country: str, city: str = "") -> None:
        self._places[address] = pack_place("", country, "", city)
        self._told = True

    def place(self, address: str) -> bytes:
        return self._places.get(address, b"")

    async def refresh(self) -> bool:
        await trio.lowlevel.checkpoint()
        told, self._told = self._told, False
        return told
