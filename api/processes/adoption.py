"""Adoption of orphaned journals: those of dead edges on this machine."""

import logging
from pathlib import Path
from typing import Final

from actors.clicks.orphans import OrphanedJournal
from storage.clicks.recovery import OrphanReader, orphans

logger = logging.getLogger("waypost.edge")

MAX_ADOPTED: Final = 32


class JournalAdoption:
    """Adoption of orphaned journals by their locks, at most MAX_ADOPTED at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._adopted: dict[str, OrphanReader] = {}

    def orphaned_bytes(self) -> int:
        """Return the size of all orphaned journals of the folder."""
        return sum(
            segment.stat().st_size
            for folder in orphans(self._folder)
            for segment in folder.glob("*.segment")
        )

    def adopt(self, own: Path) -> list[OrphanedJournal]:
        """Adopt journals of the folder whose lock is free. Returns them. `own` is this edge's journal."""
        adopted: list[OrphanedJournal] = []
        for folder in orphans(self._folder):
            if len(self._adopted) >= MAX_ADOPTED:
                break
            if folder == own or folder.name in self._adopted:
                continue
            journal = OrphanReader(folder, released=lambda name: self._adopted.pop(name, None))
            try:
                if journal.adopt():
                    self._adopted[folder.name] = journal
                    adopted.append(journal)
            except OSError as error:
                logger.error("journal %s cannot be adopted: %s", folder.name, error)
        return adopted
