"""Two months of visits of the demo, folded as those of an edge are."""

import math
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

from api.processes.demo.visitors import Visitor, visitor
from engine.clicks.batch import Batch
from engine.clicks.click import RULES_VERSION_SHIFT, VISITOR_BYTES, Click, ClickKind, VisitorClass
from engine.clicks.journal_format import encode_frames, encode_record
from engine.clicks.record_items import HOST, PLACE, UTM, item
from engine.visits.classifier import RULES_VERSION
from engine.visits.place import pack_place
from storage.clicks.ledger import PostgresClickLedger
from storage.postgres.database import Database

DAYS: Final = 62
BATCH_CLICKS: Final = 5_000
_LEASE_S: Final = 120.0
_HOST: Final = b"localhost"
_LINK_SHARES: Final = (40, 22, 18, 12, 5, 3)  # of the links in their order; later ones get none


async def write(
    database: Database, tenant_id: int, profile_id: int, links: Sequence[int], now: datetime
) -> int:
    """Fold the visits of the last DAYS days up to `now`, aware. Returns how many. `database` was opened as
    waypost_aggregator."""
    ledger, owner, journal = PostgresClickLedger(database), str(uuid4()), uuid4()
    await ledger.register(journal)
    try:
        leases = await ledger.lease(owner, 1_000, _LEASE_S)
        (lease,) = (each for each in leases if each.journal_id == journal)
        clicks = sorted(visits(tenant_id, profile_id, links, now), key=lambda click: click.at_us)
        for start in range(0, len(clicks), BATCH_CLICKS):
            part = clicks[start : start + BATCH_CLICKS]
            frames = encode_frames(start + 1, [encode_record(click) for click in part])
            lease = await ledger.commit(lease, [Batch(start + 1, start + len(part), frames)])
        await ledger.complete(journal, len(clicks))
        await ledger.delete_journal(journal)
    finally:
        await ledger.release(owner)
    return len(clicks)


def visits(tenant_id: int, profile_id: int, links: Sequence[int], now: datetime) -> Iterator[Click]:
    """Yield the visits, in no order."""
    dice = random.Random(7)  # noqa: S311  # the same demo each time
    hours = [_busy(hour) for hour in range(24)]
    shares = _LINK_SHARES[: len(links)]
    for days_ago in range(DAYS, -1, -1):
        day = (now.astimezone(UTC) - timedelta(days=days_ago)).replace(
            hour=0, minute=0, second=0, microsecond=0
        )
        for _ in range(_visitors_of(day, days_ago, dice)):
            at = day + timedelta(
                hours=dice.choices(range(24), hours)[0], seconds=dice.uniform(0, 3_600)
            )
            who, pseudonym = visitor(dice), dice.randbytes(VISITOR_BYTES)
            if at < now and dice.random() < 0.7:
                yield _click(who, pseudonym, ClickKind.VIEW, tenant_id, profile_id, 0, at)
            for _ in range(dice.choices((0, 1, 2), (3, 6, 2))[0]):
                at += timedelta(seconds=dice.uniform(2, 60))
                link = dice.choices(links[: len(shares)], shares)[0]
                if at < now:
                    yield _click(who, pseudonym, ClickKind.CLICK, tenant_id, profile_id, link, at)


def _busy(hour: int) -> float:
    """Return the share of an hour of UTC: a hill at noon and a higher one in the evening."""
    return math.exp(-(((hour - 19) / 3.2) ** 2)) + 0.5 * math.exp(-(((hour - 12) / 3) ** 2)) + 0.04


def _visitors_of(day: datetime, days_ago: int, dice: random.Random) -> int:
    growth = 90 + 2 * (DAYS - days_ago)
    weekend = 1.25 if day.weekday() >= 5 else 1.0
    shared = 1.9 if days_ago in (17, 16) else 1.0  # somebody shared the video
    return round(growth * weekend * shared * dice.uniform(0.85, 1.15))


def _click(
    who: Visitor, pseudonym: bytes, kind: ClickKind, tenant_id: int, profile_id: int, link_id: int,
    at: datetime,
) -> Click:  # fmt: skip
    visitor_class = VisitorClass.BOT if who.crawler else VisitorClass.HUMAN
    utm = f"utm_source={who.campaign}&utm_campaign={who.campaign}" if who.campaign else ""
    items = item(PLACE, pack_place(*who.place)) + item(HOST, _HOST)
    if utm:
        items += item(UTM, utm.encode())
    return Click(
        kind, visitor_class | RULES_VERSION << RULES_VERSION_SHIFT, round(at.timestamp() * 1e6),
        tenant_id, profile_id, link_id, who.user_agent.encode()[:255], who.referrer.encode(),
        who.language.encode(), pseudonym, items,
    )  # fmt: skip
