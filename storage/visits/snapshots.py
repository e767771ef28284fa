"""What edges read of Postgres: whole profiles, differences, and news of changes.

Why no change is missed: transactions commit in another order than they start, so no sequence, clock
or version says what is new to a reader. Each change carries its transaction's id, and the cursor is
the whole snapshot of the poll before (`xmin:xmax:those running`). What that one did not see and
this one sees was committed in between, exactly; a transaction that has not ended yet is seen by
neither and comes with a later poll. To compare with xmin alone would be right too, but repeats
everything for as long as one old transaction is open.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

import asyncpg

from engine.experiments.experiment import EdgeExperiment
from engine.links.profile import MAX_HISTORY, MAX_PAGE_LINKS, MAX_WHOLE_LINKS, ProfileChange
from engine.visits.snapshot import EdgeLink, PageLink, Snapshot
from storage.experiments.rows import experiment
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.visits import paths as asked_paths

SQL: Final = queries.load("visits/snapshots")
MAX_CHANGES: Final = 10_000
_ROWS_PER_TURN: Final = 2_000  # then the loop, which visitors share, may turn to others


class _Found(NamedTuple):
    tenant_id: int
    profile_id: int
    link_id: int | None


class PostgresSnapshotSource:
    """SnapshotSource over a database that was opened as waypost_edge."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, paths: Sequence[bytes]) -> list[Snapshot | None]:
        async def work(connection: Connection) -> list[Snapshot | None]:
            found = await _resolve(connection, paths)
            snapshots = await _load(connection, list(found.values()))
            return [
                snapshots[found[number].profile_id] if number in found else None
                for number in range(len(paths))
            ]

        return await self._database.transaction(work, read_only=True)

    async def refresh(self, profile_id: int, since: int, limit: int) -> Snapshot | None:
        async def work(connection: Connection) -> Snapshot | None:
            tenant_id = await connection.fetchval(SQL["tenant"], profile_id)
            if tenant_id is None:
                return None
            key = (tenant_id, profile_id)
            (row,) = await connection.fetch(SQL["profiles"], *_columns([key]), MAX_WHOLE_LINKS)
            page = (await _pages(connection, [key])).get(profile_id, ())
            trials = (await _experiments(connection, [key])).get(profile_id, ())
            changed = await connection.fetch(SQL["changed_links"], *key, since, limit + 1)
            removed = await connection.fetch(SQL["removed_links"], *key, since, limit + 1)
            too_far = not 0 <= row["version"] - since <= MAX_HISTORY
            if too_far or len(changed) + len(removed) > limit:
                return _snapshot(row, (), page, trials, complete=False)
            return _snapshot(
                row,
                changed,
                page,
                trials,
                complete=row["whole"],
                since=since,
                removed=tuple(sorted(gone["link_id"] for gone in removed)),
            )

        return await self._database.transaction(work, read_only=True)

    async def changes(self, cursor: str | None) -> tuple[list[ProfileChange] | None, str]:
        async def work(connection: Connection) -> tuple[list[ProfileChange] | None, str]:
            now = await connection.fetchval(SQL["now"])
            if cursor is None:
                return [], now
            if await connection.fetchval(SQL["is_behind"], cursor):
                return None, now
            rows = await connection.fetch(SQL["changes"], cursor, MAX_CHANGES + 1)
            return [ProfileChange(*row) for row in rows] if len(rows) <= MAX_CHANGES else None, now

        return await self._database.transaction(work, read_only=True)


async def _resolve(connection: Connection, paths: Sequence[bytes]) -> dict[int, _Found]:
    """What each path leads to, by its number; paths that lead nowhere are not in it."""
    shorts: list[tuple[int, str]] = []
    pages: list[tuple[int, str]] = []
    links: list[tuple[int, str, str]] = []
    for number, path in enumerate(paths):
        handle, slug = asked_paths.parse(path)
        if handle is None and slug is not None:
            shorts.append((number, slug))
        elif handle is not None and slug is None:
            pages.append((number, handle))
        elif handle is not None and slug is not None:
            links.append((number, handle, slug))
    rows = await connection.fetch(
        SQL["resolve"], *_columns(shorts, 2), *_columns(pages, 2), *_columns(links, 3)
    )
    return {number: _Found(*found) for number, *found in rows}


async def _load(connection: Connection, found: Sequence[_Found]) -> dict[int, Snapshot]:
    """A snapshot of each profile found, by id; of the large ones with the links found only."""
    if not found:
        return {}
    keys = sorted({(each.tenant_id, each.profile_id) for each in found})
    rows = await connection.fetch(SQL["profiles"], *_columns(keys), MAX_WHOLE_LINKS)
    whole = [(row["tenant_id"], row["id"]) for row in rows if row["whole"]]
    large = [(row["tenant_id"], row["id"]) for row in rows if not row["whole"]]
    links = await _by_profile(connection, SQL["all_links"], whole)
    pages = {profile_id: _page(records) for profile_id, records in links.items()}
    if large:
        large_ids = {profile_id for _, profile_id in large}
        asked = {
            (each.tenant_id, each.link_id)
            for each in found
            if each.link_id is not None and each.profile_id in large_ids
        }
        links |= await _by_profile(connection, SQL["some_links"], sorted(asked))
        pages |= await _pages(connection, large)
    trials = await _experiments(connection, keys)
    snapshots = {}
    built = 0
    for row in rows:
        mine = links.get(row["id"], [])
        page = pages.get(row["id"], ())
        running = trials.get(row["id"], ())
        snapshots[row["id"]] = _snapshot(row, mine, page, running, complete=row["whole"])
        built += len(mine)
        if built > _ROWS_PER_TURN:
            built = 0
            await asyncio.sleep(0)
    return snapshots


async def _by_profile(
    connection: Connection, query: str, keys: Sequence[tuple[object, ...]], *args: object
) -> dict[int, list[asyncpg.Record]]:
    """Links by the id of their profile."""
    profiles: dict[int, list[asyncpg.Record]] = {}
    if keys:
        records = await connection.fetch(query, *_columns(keys), *args)
        for number, record in enumerate(records, 1):
            profiles.setdefault(record["profile_id"], []).append(record)
            if number % _ROWS_PER_TURN == 0:
                await asyncio.sleep(0)
    return profiles


async def _pages(
    connection: Connection, keys: Sequence[tuple[int, int]]
) -> dict[int, tuple[PageLink, ...]]:
    await connection.execute(SQL["read_in_index_order"])
    records = await _by_profile(connection, SQL["pages"], keys, MAX_PAGE_LINKS)
    return {profile_id: _page(links) for profile_id, links in records.items()}


async def _experiments(
    connection: Connection, keys: Sequence[tuple[int, int]]
) -> dict[int, tuple[EdgeExperiment, ...]]:
    """Experiments by the id of their profile."""
    found: dict[int, tuple[EdgeExperiment, ...]] = {}
    for row in await connection.fetch(SQL["experiments"], *_columns(keys)):
        made = EdgeExperiment(experiment(row), row["secret"], row["namespace_secret"] or b"")
        found[row["profile_id"]] = (*found.get(row["profile_id"], ()), made)
    return found


def _page(records: Sequence[asyncpg.Record]) -> tuple[PageLink, ...]:
    ordered = sorted(records, key=lambda row: (row["position"], row["id"]))[:MAX_PAGE_LINKS]
    return tuple(
        PageLink(row["slug"], row["title"], row["target"], row["kind"], row["id"])
        for row in ordered
    )


def _snapshot(
    row: asyncpg.Record,
    links: Sequence[asyncpg.Record],
    page: tuple[PageLink, ...],
    experiments: tuple[EdgeExperiment, ...],
    *,
    complete: bool,
    since: int | None = None,
    removed: tuple[int, ...] = (),
) -> Snapshot:
    return Snapshot(
        tenant_id=row["tenant_id"],
        profile_id=row["id"],
        handle=row["handle"],
        title=row["title"],
        version=row["version"],
        complete=complete,
        links=tuple(
            EdgeLink(
                link["id"],
                link["slug"],
                link["target"],
                link["status"],
                link["passthrough"],
                link["short"],
                link["click_id"],
            )
            for link in sorted(links, key=lambda link: link["id"])
        ),
        page=page,
        since=since,
        removed=removed,
        experiments=experiments,
    )


def _columns(rows: Sequence[tuple[object, ...]], width: int = 2) -> list[list[object]]:
    """Rows as parallel arrays for unnest."""
    return [[row[column] for row in rows] for column in range(width)]
