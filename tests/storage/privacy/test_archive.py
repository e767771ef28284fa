"""Archives of profiles: complete, without other profiles and without secrets."""

import json
import re
from collections import Counter
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from engine.accounts.access import Caller
from engine.clicks.click import ClickKind
from engine.clicks.own_event import event_items
from engine.common.errors import ForbiddenError, NotFoundError, TooSoonError
from engine.links.link import LinkDraft
from engine.links.profile import ProfileDraft
from engine.privacy.ports import ArchiveSource
from storage.accounts.keys import ensure_owner
from storage.clicks.ledger import PostgresClickLedger
from storage.links.memory_profiles import MemoryProfiles
from storage.links.profiles import PostgresProfileStore
from storage.postgres.database import Connection
from storage.privacy.archive import CLICKS_AT_ONCE, SQL, PostgresArchiveSource
from storage.privacy.memory_archive import MemoryArchiveSource
from storage.stats.settling import settle
from tests.kit.hosted import hosted_run
from tests.kit.shipped_batches import batch, click
from tests.kit.stats_database import days_with_deltas
from tests.kit.stores import FAST, OpenDatabase, Stores

pytestmark = pytest.mark.trio(run=hosted_run)


@pytest.fixture
async def archives(stores: Stores) -> ArchiveSource:
    if isinstance(stores.profiles, MemoryProfiles):
        return MemoryArchiveSource(stores.profiles)
    return PostgresArchiveSource(stores.profiles._database)  # type: ignore[attr-defined]


async def read(archives: ArchiveSource, caller: Caller, profile_id: int) -> list[dict[str, Any]]:
    text = b"".join([lines async for lines in archives.archive(caller, profile_id)])
    return [json.loads(line) for line in text.splitlines()]


async def test_an_archive_has_all_of_a_profile_and_nothing_of_another(
    stores: Stores, archives: ArchiveSource
) -> None:
    mine = await stores.profiles.create_profile(stores.caller, ProfileDraft(handle="a", title="é"))
    for n in range(3):
        draft = LinkDraft(slug=f"l{n}", target="https://example.com/")
        await stores.profiles.create_link(stores.caller, mine.id, draft)
    await stores.profiles.create_profile(stores.caller, ProfileDraft(handle="b", title="other"))
    first, *rows, last = await read(archives, stores.caller, mine.id)
    assert first["profile_id"] == str(mine.id)
    assert last == {"end": True, "rows": len(rows)}
    assert rows[0]["table"] == "profiles"
    assert (rows[0]["row"]["id"], rows[0]["row"]["title"]) == (str(mine.id), "é")
    assert sorted(r["row"]["slug"] for r in rows if r["table"] == "links") == ["l0", "l1", "l2"]
    assert '"b"' not in json.dumps(rows)
    await archives.check(stores.caller, mine.id)
    with pytest.raises(NotFoundError):
        await archives.check(stores.other, mine.id)
    with pytest.raises(NotFoundError):
        await read(archives, stores.other, mine.id)
    with pytest.raises(ForbiddenError):
        await archives.check(stores.caller._replace(scopes=("read",)), mine.id)


@pytest.mark.slow
async def test_secrets_and_visitors_are_in_no_archive(open_database: OpenDatabase) -> None:
    app = await open_database("waypost_app")

    async def tables(connection: Connection) -> dict[str, str]:
        return {row["of_table"]: row["columns"] for row in await connection.fetch(SQL["tables"])}

    columns_by_table = await app.transaction(tables)
    assert {"audit_log", "clicks", "links", "members", "profiles", "rollups"} <= set(
        columns_by_table
    )
    columns = set(re.findall(r"\w+", " ".join(columns_by_table.values())))
    assert not columns & {
        "secret", "token_sha256", "key_sha256", "hash", "password_hash", "visitor", "sketches", "tenant_id",
    }  # fmt: skip
    hidden = {name for name in columns if name.endswith(("secret", "secrets", "visitor"))}
    assert hidden == set()


@pytest.mark.slow
async def test_names_in_an_archive_outlive_those_of_the_schema(open_database: OpenDatabase) -> None:
    app = await open_database("waypost_app")

    async def tables(connection: Connection) -> dict[str, str]:
        return {row["archived_as"]: row["columns"] for row in await connection.fetch(SQL["tables"])}

    archived = await app.transaction(tables)
    assert archived.keys() >= {"activity", "dimension_rollups", "raw_clicks_kept"}
    assert archived.keys().isdisjoint({"audit_log", "dimension_counts", "raw_click_retention"})
    assert "classification AS verdict" in archived["clicks"]
    assert "variant AS arm" in archived["conversions"]


@pytest.mark.slow
async def test_a_tenant_writes_one_archive_at_a_time(
    open_database: OpenDatabase,
) -> None:
    app = await open_database("waypost_app")
    owner = await ensure_owner(app, "owner@example.com", FAST)
    assert owner is not None
    profile = await PostgresProfileStore(app).create_profile(owner.caller, ProfileDraft(handle="a"))
    archives = PostgresArchiveSource(app)
    open_archive = archives.archive(owner.caller, profile.id)
    await anext(open_archive)
    with pytest.raises(TooSoonError, match="1 of this tenant's archives are running"):
        await anext(archives.archive(owner.caller, profile.id))
    await open_archive.aclose()
    assert len(await read(archives, owner.caller, profile.id)) > 2


@pytest.mark.slow
async def test_packed_clicks_are_in_the_archive_one_by_one(open_database: OpenDatabase) -> None:
    app, aggregator = await open_database("waypost_app"), await open_database("waypost_aggregator")
    owner = await ensure_owner(app, "owner@example.com", FAST)
    assert owner is not None
    profile = await PostgresProfileStore(app).create_profile(owner.caller, ProfileDraft(handle="a"))
    ledger = PostgresClickLedger(aggregator)
    await ledger.register(uuid4())
    (lease,) = await ledger.lease("w", 1, 60)
    tenant_id = owner.caller.tenant_id
    of_profile = partial(click, tenant_id=tenant_id, profile_id=profile.id)
    clicks = [of_profile(n) for n in range(CLICKS_AT_ONCE + 7)]
    event = of_profile(3)._replace(kind=ClickKind.EVENT, items=event_items(b"signup\x1fplan=pro"))
    clicks.append(event)
    others = [click(9, tenant_id=tenant_id, profile_id=profile.id + 1)]
    await ledger.commit(lease, [batch(1, clicks + others)])
    archived = await read(PostgresArchiveSource(app), owner.caller, profile.id)
    rows = [line["row"] for line in archived if line.get("table") == "packed_clicks"]
    assert archived[-1] == {"end": True, "rows": len(archived) - 2}
    assert Counter(row["link_id"] for row in rows) == Counter(str(c.link_id) for c in clicks)
    assert Counter(row["counted_as"] for row in rows) == {"click": len(clicks) - 1, "event": 1}
    (signup,) = (row for row in rows if row["counted_as"] == "event")
    assert (signup["event"], signup["properties"]) == ("signup", ["plan=pro"])
    await settle(aggregator, await days_with_deltas(aggregator), pack_few=True)
    settled = await read(PostgresArchiveSource(app), owner.caller, profile.id)
    segments = [line["row"] for line in settled if line.get("table") == "packed_clicks"]
    assert len(segments) == len(rows)
    assert signup in segments
    assert rows[0]["bucket"].endswith("Z")
    assert rows[0]["kind"] == "human"
    assert not any(
        line.get("table") in ("click_deltas", "click_segments", "profile_days") for line in archived
    )
