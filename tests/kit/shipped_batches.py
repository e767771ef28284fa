"""Batches as an edge ships them."""

from collections.abc import Sequence
from uuid import UUID

from engine.clicks.batch import Batch
from engine.clicks.click import Click, ClickKind, VisitorClass
from engine.clicks.journal_format import encode_frame, encode_record
from engine.stats.ledger_ports import ClickLedger

NOW_US = 1_780_000_000_000_000


def click(
    link_id: int = 5,
    at_us: int = NOW_US,
    *,
    kind: int = ClickKind.CLICK,
    verdict: int = VisitorClass.HUMAN,
    tenant_id: int = 1,
    profile_id: int = 2,
    user_agent: bytes = b"curl/8",
    referrer: bytes = b"",
    language: bytes = b"it",
) -> Click:
    return Click(
        kind, verdict, at_us, tenant_id, profile_id, link_id, user_agent, referrer, language
    )


async def counted(ledger: ClickLedger, journal_id: UUID) -> int:
    """Return the journal's watermark."""
    watermark = await ledger.watermark(journal_id)
    assert watermark is not None
    return watermark


def batch(first: int, clicks: Sequence[Click], per_frame: int = 3) -> Batch:
    """Return clicks as a batch of frames; the first click has the sequence `first`."""
    frames = []
    for start in range(0, len(clicks), per_frame):
        part = clicks[start : start + per_frame]
        frames.append(
            encode_frame(first + start, [encode_record(part_click) for part_click in part])
        )
    return Batch(first, first + len(clicks) - 1, b"".join(frames))
