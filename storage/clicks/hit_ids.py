"""Ids of hits that servers reported, read back from the journals of this machine.

An edge that restarts has forgotten which hits it has recorded; its journals have not. Journals are kept for
WAYPOST_JOURNAL_KEPT_MS after they are counted, so a server may send a hit again for as long.
"""

from pathlib import Path
from typing import Final

from engine.clicks import journal_format
from engine.clicks.journal_format import HEADER_BYTES
from engine.clicks.record_items import HIT, HIT_ID_BYTES, items
from engine.clicks.record_layout import FormatError
from storage.clicks.journal import SUFFIX

_MARK: Final = bytes((HIT, HIT_ID_BYTES))


def recent_hit_ids(folder: Path, since_s: float) -> list[bytes]:
    """Return the ids in segments below `folder` that were written since a Unix time, the oldest first.

    Reads whole files, so call it in a thread. What cannot be read is left out.
    """
    segments: list[tuple[float, Path]] = []
    for path in folder.glob(f"*/*{SUFFIX}"):
        try:
            written_at = path.stat().st_mtime
        except OSError:
            continue  # deleted meanwhile
        if written_at >= since_s:
            segments.append((written_at, path))
    ids: list[bytes] = []
    for _, path in sorted(segments):
        try:
            ids += _ids(path.read_bytes())
        except (OSError, FormatError):
            continue
    return ids


def _ids(segment: bytes) -> list[bytes]:
    ids: list[bytes] = []
    # Most segments have none: looking for the mark costs a hundredth of reading their frames.
    if segment.find(_MARK, HEADER_BYTES) < 0:
        return ids
    for frame in journal_format.frames(segment, HEADER_BYTES):
        if segment.find(_MARK, frame.start, frame.end) >= 0:
            clicks = journal_format.clicks(segment[frame.start : frame.end])
            ids += (data for click in clicks if (data := items(click.items).get(HIT)))
    return ids
