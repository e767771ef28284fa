"""A profile with folded clicks, conversions of them, and questions about both."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg

from engine.accounts.access import Caller
from engine.clicks.click import Click, time_of
from engine.clicks.click_id import ClickId
from engine.experiments.conversion import ConversionDraft, VerifiedConversion
from engine.experiments.refund import RefundKind, VerifiedRefund
from engine.stats.conversion_question import ConversionQuestion, ConversionSums
from storage.bridge import in_asyncio
from storage.experiments.conversion_dimensions import PostgresConversionDimensions
from storage.experiments.conversions import PostgresConversionStore
from storage.postgres.database import Connection, Database
from storage.stats.conversion_sums import conversion_sums
from tests.kit.stats_database import add_profile, fold
from tests.kit.stores import opened

TENANT, PROFILE = 1, 2


class ConversionWorld:
    """Profile 2 of tenant 1 in a database."""

    def __init__(self, url: str, app: Database, aggregator: Database) -> None:
        self.url = url
        self.app = app
        self.aggregator = aggregator
        self.store = PostgresConversionStore(app)
        self.dimensions = PostgresConversionDimensions(aggregator)

    @classmethod
    @asynccontextmanager
    async def at(cls, url: str) -> AsyncIterator["ConversionWorld"]:
        await in_asyncio(add_profile, url)
        async with opened(url) as open_database:
            app = await open_database("waypost_app")
            yield cls(url, app, await open_database("waypost_aggregator"))

    async def fold(self, *clicks: Click) -> None:
        await fold(self.aggregator, clicks)

    async def report(
        self,
        order: VerifiedConversion | None = None,
        refunds: Sequence[VerifiedRefund] = (),
        source: str = "hook",
    ) -> Any:
        if source == "script":
            assert order is not None
            return await self.store.record_from_ingest(TENANT, PROFILE, [order], "script")
        return await self.store.record_report(TENANT, PROFILE, order, refunds)

    async def sums(self, question: ConversionQuestion) -> ConversionSums:
        async def work(connection: Connection) -> ConversionSums:
            return await conversion_sums(connection, TENANT, PROFILE, question)

        return await self.app.transaction(work, caller=Caller(TENANT, 0), read_only=True)

    async def query(self, text: str) -> list[Any]:
        """Return the rows of one statement of the login user."""

        async def ask() -> list[Any]:
            connection = await asyncpg.connect(self.url)
            try:
                await connection.execute("SET search_path = waypost")
                return list(await connection.fetch(text))
            finally:
                await connection.close()

        return await in_asyncio(ask)


def order_of(
    click: Click | None, order_id: str, value: str | None = "10", currency: str = "EUR",
    after: timedelta = timedelta(hours=1), name: str = "sale",
) -> VerifiedConversion:  # fmt: skip
    """Return the conversion of a click `after` it; without a click, at the present."""
    click_id = None
    at = datetime.now(UTC)
    if click is not None:
        at = time_of(click.at_us) + after
        click_id = ClickId(TENANT, PROFILE, click.link_id, click.at_us, visitor_id=click.visitor_id)
    draft = ConversionDraft(
        click_id="" if click is None else f"{click.at_us}-{click.link_id}-{click.visitor_id.hex()}",
        name=name,
        order_id=order_id,
        value=None if value is None else Decimal(value),
        currency=None if value is None else currency,
    )
    return VerifiedConversion(draft, click_id, at, at)


def refund_of(
    order_id: str, at: datetime, refund_id: str, kind: RefundKind = "amount",
    value: str | None = "4", currency: str = "EUR",
) -> VerifiedRefund:  # fmt: skip
    if kind == "void":
        return VerifiedRefund("sale", order_id, refund_id, kind, None, None, at)
    return VerifiedRefund("sale", order_id, refund_id, kind, Decimal(value or 0), currency, at)
