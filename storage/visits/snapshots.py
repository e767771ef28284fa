"""Snapshots of profiles for edges, from Postgres: whole profiles, differences, and polled changes.

Why no change is missed: transactions commit in another order than they start, so no sequence, clock
or version says which changes a reader has not seen. Each change carries its transaction's id, and the cursor
is the previous poll's whole database snapshot (`xmin:xmax:running ids`). Changes that the previous snapshot
does not include and the current one does were committed in between, exactly. A transaction in progress is in
neither, and comes with a later poll. A comparison with xmin alone would be right too, but repeats every
change for as long as one old transaction is open.

Why no edge keeps what a server has lost: transaction ids say something within one history only. A standby that
was behind and is promoted gives the ids of lost transactions to others, and a profile the version that it had
before, with other links. So the cursor names the history too, and in another one every profile has changed.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import asyncpg

from engine.experiments.experiment import EdgeExperiment
from engine.links import visitor_path
from engine.links.options import unpack_options
from engine.links.profile import (
    MAX_HISTORY,
    MAX_PAGE_LINKS,
    MAX_WHOLE_BYTES,
    MAX_WHOLE_LINKS,
    ProfileChange,
)
from engine.links.target import MAX_URL_CHARS
from engine.pages.page_link import PageLink, SnapshotPage
from engine.pages.pictures import encode_pictures, pictures_of
from engine.visits.snapshot import EdgeLink, LinkBatch, Snapshot
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.visits.snapshot_rows import experiments_of, links_of, page_of, published_of

SQL: Final = queries.load("visits/snapshots")
MAX_CHANGES: Final = 10_000
MAX_LARGE_PAGES: Final = 100
_WHOLE: Final = (MAX_WHOLE_LINKS, MAX_WHOLE_BYTES)
_LINKS_PER_SLICE: Final = 200  # after these, about 1 ms of work, the event loop may serve visitors


class PostgresSnapshotSource:
    """SnapshotSource over a database that was opened as waypost_edge."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pages = LargePages()

    async def find(self, paths: Sequence[bytes]) -> list[Snapshot | None]:
        async def work(connection: Connection) -> list[Snapshot | None]:
            rows = await connection.fetch(SQL["profiles"], *_parsed(paths), [], *_WHOLE)
            snapshots = await self._snapshots(connection, rows)
            by_number = {
                number: snapshot
                for row, snapshot in zip(rows, snapshots, strict=True)
                for number in row["numbers"]
            }
            return [by_number.get(number) for number in range(len(paths))]

        return await self._database.transaction(work, read_only=True)

    async def _snapshots(
        self, connection: Connection, rows: Sequence[asyncpg.Record]
    ) -> list[Snapshot]:
        """Return the snapshot of each row of `profiles`. Large profiles have only the requested links."""
        large = [row for row in rows if not row["whole"]]
        pages: dict[int, LargePage] = {}
        links: dict[int, list[asyncpg.Record]] = {}
        if large:
            keys = {
                (row["tenant_id"], link_id)
                for row in large
                for link_id in row["link_ids"]
                if link_id is not None
            }
            links = await _by_profile(connection, SQL["some_links"], sorted(keys))
            pages = await self._pages.read(connection, large)
        experiments = {row["id"]: experiments_of(row) for row in rows if row["experiments"]}
        pictures = await _variant_pictures(connection, rows, experiments)
        snapshots: list[Snapshot] = []
        built = 0
        for row in rows:
            id_, whole_links = row["id"], links_of(row)
            page, published = pages.get(id_) or (page_of(whole_links), published_of(row))
            edge_links = [whole.link for whole in whole_links] or _edge_links(links.get(id_, ()))
            snapshots.append(
                _snapshot(
                    row,
                    edge_links,
                    page,
                    published,
                    complete=row["whole"],
                    experiments=experiments.get(id_, ()),
                    pictures=pictures.get(id_, b"{}"),
                )
            )
            built += 1 + len(edge_links)
            if built > _LINKS_PER_SLICE:
                built = 0
                await asyncio.sleep(0)
        return snapshots

    async def refresh(self, profile_id: int, since: int, limit: int) -> Snapshot | None:
        async def work(connection: Connection) -> Snapshot | None:
            rows = await connection.fetch(SQL["profiles"], *_parsed(()), [profile_id], *_WHOLE)
            return await self._difference(connection, rows[0], since, limit) if rows else None

        return await self._database.transaction(work, read_only=True)

    async def _difference(
        self, connection: Connection, row: asyncpg.Record, since: int, limit: int
    ) -> Snapshot:
        """Return what changed of the profile of a row of `profiles`, as refresh() does."""
        key = (row["tenant_id"], row["id"])
        whole_links = links_of(row)
        if row["whole"]:
            page, published = page_of(whole_links), published_of(row)
            changed = [whole.link for whole in whole_links if whole.revision > since]
        else:
            ((page, published),) = await _large_pages(connection, [key])
            records = await connection.fetch(SQL["changed_links"], *key, since, limit + 1)
            changed = _edge_links(records)
        removed = await connection.fetch(SQL["removed_links"], *key, since, limit + 1)
        experiments = {row["id"]: experiments_of(row)}
        pictures = await _variant_pictures(connection, [row], experiments)
        too_far = not 0 <= row["version"] - since <= MAX_HISTORY
        too_many = too_far or len(changed) + len(removed) > limit
        return _snapshot(
            row,
            () if too_many else changed,
            page,
            published,
            complete=row["whole"] and not too_many,
            experiments=experiments[row["id"]],
            pictures=pictures.get(row["id"], b"{}"),
            since=None if too_many else since,
            removed=() if too_many else tuple(sorted(gone["link_id"] for gone in removed)),
        )

    async def following_links(
        self, tenant_id: int, profile_id: int, after: int, limit: int
    ) -> LinkBatch:
        async def work(connection: Connection) -> LinkBatch:
            rows = await connection.fetch(
                SQL["following_links"], tenant_id, profile_id, after, limit
            )
            version = rows[0]["profile_version"] if rows else 0
            return LinkBatch(version, tuple(_edge_link(row) for row in rows))

        return await self._database.transaction(work, read_only=True)

    async def changes(self, cursor: str | None) -> tuple[list[ProfileChange] | None, str]:
        async def work(connection: Connection) -> tuple[list[ProfileChange] | None, str]:
            history = await connection.fetchval(SQL["history"])
            now = f"{history} {await connection.fetchval(SQL['now'])}"
            if cursor is None:
                return [], now
            history_before, _, snapshot = cursor.partition(" ")
            if history != history_before or await connection.fetchval(SQL["is_behind"], snapshot):
                self._pages.clear()
                return None, now
            rows = await connection.fetch(SQL["changes"], snapshot, MAX_CHANGES + 1)
            return [ProfileChange(*row) for row in rows] if len(rows) <= MAX_CHANGES else None, now

        return await self._database.transaction(work, read_only=True)


def _parsed(paths: Sequence[bytes]) -> list[list[object]]:
    """Return the first parameters of `profiles`: the paths' numbers and names, by their kind."""
    shorts: list[tuple[int, str]] = []
    pages: list[tuple[int, str]] = []
    links: list[tuple[int, str, str]] = []
    for number, path in enumerate(paths):
        handle, slug = visitor_path.parse(path)
        if handle is None and slug is not None:
            shorts.append((number, slug))
        elif handle is not None and slug is None:
            pages.append((number, handle))
        elif handle is not None and slug is not None:
            links.append((number, handle, slug))
    return [*_columns(shorts, 2), *_columns(pages, 2), *_columns(links, 3)]


async def _by_profile(
    connection: Connection,
    query: str,
    keys: Sequence[tuple[object, ...]],
    *args: object,
    width: int = 2,
) -> dict[int, list[asyncpg.Record]]:
    """Return the query's rows by profile id."""
    profiles: dict[int, list[asyncpg.Record]] = {}
    if keys:
        for record in await connection.fetch(query, *_columns(keys, width), *args):
            profiles.setdefault(record["profile_id"], []).append(record)
    return profiles


class LargePage(NamedTuple):
    """The page of a large profile: the first of its links, and what it published, if anything."""

    links: tuple[PageLink, ...]
    published: SnapshotPage | None


class LargePages:
    """Pages of large profiles, kept by version: while visitors come to one link after the other, each look-up
    would read the page again. Clear them in another history, which may give a version to other links."""

    def __init__(self) -> None:
        self._pages: dict[int, tuple[int, LargePage]] = {}

    def clear(self) -> None:
        self._pages.clear()

    async def read(
        self, connection: Connection, profiles: Sequence[asyncpg.Record]
    ) -> dict[int, LargePage]:
        """Return the page of each of these rows of `resolve` by profile id."""
        pages = {
            row["id"]: kept[1]
            for row in profiles
            if (kept := self._pages.get(row["id"])) is not None and kept[0] == row["version"]
        }
        missing = [row for row in profiles if row["id"] not in pages]
        if not missing:
            return pages
        keys = [(row["tenant_id"], row["id"]) for row in missing]
        for row, page in zip(missing, await _large_pages(connection, keys), strict=True):
            pages[row["id"]] = page
            while len(self._pages) >= MAX_LARGE_PAGES:
                del self._pages[next(iter(self._pages))]
            self._pages[row["id"]] = (row["version"], page)
        return pages


async def _large_pages(connection: Connection, keys: Sequence[tuple[int, int]]) -> list[LargePage]:
    """Return the pages of profiles by (tenant id, id), in their order."""
    await connection.execute(SQL["read_in_index_order"])
    links = await _by_profile(connection, SQL["pages"], keys, MAX_PAGE_LINKS)
    published = await _by_profile(connection, SQL["published_pages"], keys)
    return [
        LargePage(
            _page(links.get(id_, ())),
            published_of(published[id_][0]) if id_ in published else None,
        )
        for _, id_ in keys
    ]


async def _variant_pictures(
    connection: Connection,
    rows: Sequence[asyncpg.Record],
    experiments: Mapping[int, Sequence[EdgeExperiment]],
) -> dict[int, bytes]:
    """Return the pictures that variants of the rows' profiles show, as JSON by profile id."""
    keys = {
        (row["tenant_id"], row["id"], int(variant.picture))
        for row in rows
        for edge in experiments.get(row["id"], ())
        for variant in edge.experiment.variants
        if variant.picture is not None and variant.picture.isdecimal()
    }
    pictures = await _by_profile(connection, SQL["pictures"], sorted(keys), width=3)
    return {id_: encode_pictures(pictures_of(records)) for id_, records in pictures.items()}


def _page(records: Sequence[asyncpg.Record]) -> tuple[PageLink, ...]:
    ordered = sorted(records, key=lambda row: (row["position"], row["id"]))[:MAX_PAGE_LINKS]
    return tuple(
        PageLink(row["slug"], row["title"], row["target"][:MAX_URL_CHARS], row["kind"], row["id"])
        for row in ordered
    )


def _snapshot(
    row: asyncpg.Record,
    links: Sequence[EdgeLink],
    page: tuple[PageLink, ...],
    published: SnapshotPage | None,
    *,
    complete: bool,
    experiments: tuple[EdgeExperiment, ...],
    pictures: bytes,
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
        links=tuple(links),
        page=page,
        since=since,
        removed=removed,
        experiments=experiments,
        published=published,
        pictures=pictures,
    )


def _edge_links(rows: Sequence[asyncpg.Record]) -> list[EdgeLink]:
    """Return the links of rows, in the order of their ids."""
    return sorted(map(_edge_link, rows), key=lambda link: link.id)


def _edge_link(row: asyncpg.Record) -> EdgeLink:
    return EdgeLink(
        row["id"],
        row["slug"],
        row["target"],
        row["status"],
        row["passthrough"],
        row["short"],
        row["click_id"],
        unpack_options(row["options"]),
        row["password_hash"],
    )


def _columns(rows: Sequence[tuple[object, ...]], width: int = 2) -> list[list[object]]:
    """Return rows as parallel arrays for unnest."""
    return [[row[column] for row in rows] for column in range(width)]
