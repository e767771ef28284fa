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
import msgspec

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
from storage.experiments.rows import experiment_of_row
from storage.postgres import queries
from storage.postgres.database import Connection, Database

SQL: Final = queries.load("visits/snapshots")
MAX_CHANGES: Final = 10_000
MAX_LARGE_PAGES: Final = 100
_WHOLE: Final = (MAX_WHOLE_LINKS, MAX_WHOLE_BYTES)
_ROWS_PER_SLICE: Final = 2_000  # after these, the event loop may serve visitors


class PostgresSnapshotSource:
    """SnapshotSource over a database that was opened as waypost_edge."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pages = LargePages()

    async def find(self, paths: Sequence[bytes]) -> list[Snapshot | None]:
        async def work(connection: Connection) -> list[Snapshot | None]:
            matches = await _resolve(connection, paths)
            snapshots = await _load(connection, list(matches.values()), self._pages)
            return [
                snapshots[matches[number]["id"]] if number in matches else None
                for number in range(len(paths))
            ]

        return await self._database.transaction(work, read_only=True)

    async def refresh(self, profile_id: int, since: int, limit: int) -> Snapshot | None:
        async def work(connection: Connection) -> Snapshot | None:
            tenant_id = await connection.fetchval(SQL["tenant"], profile_id)
            if tenant_id is None:
                return None
            key = (tenant_id, profile_id)
            (row,) = await connection.fetch(SQL["profile"], *key, *_WHOLE)
            page = (await _pages(connection, [key])).get(profile_id, ())
            published = (await _published(connection, [key])).get(profile_id)
            by_profile = await _experiments(connection, [key])
            experiments = by_profile.get(profile_id, ())
            pictures = (await _variant_pictures(connection, by_profile)).get(profile_id, b"{}")
            changed = await connection.fetch(SQL["changed_links"], *key, since, limit + 1)
            removed = await connection.fetch(SQL["removed_links"], *key, since, limit + 1)
            too_far = not 0 <= row["version"] - since <= MAX_HISTORY
            if too_far or len(changed) + len(removed) > limit:
                return _snapshot(
                    row, (), page, experiments, published, complete=False, pictures=pictures
                )
            return _snapshot(
                row,
                changed,
                page,
                experiments,
                published,
                complete=row["whole"],
                pictures=pictures,
                since=since,
                removed=tuple(sorted(gone["link_id"] for gone in removed)),
            )

        return await self._database.transaction(work, read_only=True)

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


async def _resolve(connection: Connection, paths: Sequence[bytes]) -> dict[int, asyncpg.Record]:
    """Return each path's profile, and the id of the requested link, by its index; paths without a match are
    missing."""
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
    rows = await connection.fetch(
        SQL["resolve"], *_columns(shorts, 2), *_columns(pages, 2), *_columns(links, 3)
    )
    return {row["n"]: row for row in rows}


async def _load(
    connection: Connection, matches: Sequence[asyncpg.Record], large_pages: "LargePages"
) -> dict[int, Snapshot]:
    """Return a snapshot of each matched profile by id. Large profiles have only the matched links."""
    profiles = {match["id"]: match for match in matches}
    if not profiles:
        return {}
    keys = sorted((match["tenant_id"], id_) for id_, match in profiles.items())
    links, large = await _whole_profiles(connection, keys)
    pages = {
        profile_id: _page([link for link in records if not link["hidden"]])
        for profile_id, records in links.items()
    }
    published = await _published(connection, [key for key in keys if key[1] not in large])
    if large:
        link_keys = {
            (match["tenant_id"], match["link_id"])
            for match in matches
            if match["link_id"] is not None and match["id"] in large
        }
        links |= await _by_profile(connection, SQL["some_links"], sorted(link_keys))
        large_ones = await large_pages.read(connection, [profiles[id_] for id_ in sorted(large)])
        pages |= {profile_id: page.links for profile_id, page in large_ones.items()}
        published |= {
            profile_id: page.published
            for profile_id, page in large_ones.items()
            if page.published is not None
        }
    experiments = await _experiments(connection, keys)
    pictures = await _variant_pictures(connection, experiments)
    snapshots = {}
    built = 0
    for profile_id, row in profiles.items():
        profile_links = links.get(profile_id, ())
        snapshots[profile_id] = _snapshot(
            row,
            profile_links,
            pages.get(profile_id, ()),
            experiments.get(profile_id, ()),
            published.get(profile_id),
            complete=profile_id not in large,
            pictures=pictures.get(profile_id, b"{}"),
        )
        built += len(profile_links)
        if built > _ROWS_PER_SLICE:
            built = 0
            await asyncio.sleep(0)
    return snapshots


async def _whole_profiles(
    connection: Connection, keys: Sequence[tuple[int, int]]
) -> tuple[dict[int, list[asyncpg.Record]], set[int]]:
    """Return (all links of each profile that has some and not too many, profiles with too many)."""
    rows = await _by_profile(connection, SQL["whole_profiles"], keys, *_WHOLE)
    with_links = {id_: records for id_, records in rows.items() if records[0]["id"] is not None}
    return with_links, {id_ for id_, records in rows.items() if not records[0]["whole"]}


async def _by_profile(
    connection: Connection, query: str, keys: Sequence[tuple[object, ...]], *args: object
) -> dict[int, list[asyncpg.Record]]:
    """Return the query's links by profile id."""
    profiles: dict[int, list[asyncpg.Record]] = {}
    if keys:
        records = await connection.fetch(query, *_columns(keys), *args)
        for number, record in enumerate(records, 1):
            profiles.setdefault(record["profile_id"], []).append(record)
            if number % _ROWS_PER_SLICE == 0:
                await asyncio.sleep(0)
    return profiles


async def _pages(
    connection: Connection, keys: Sequence[tuple[int, int]]
) -> dict[int, tuple[PageLink, ...]]:
    await connection.execute(SQL["read_in_index_order"])
    records = await _by_profile(connection, SQL["pages"], keys, MAX_PAGE_LINKS)
    return {profile_id: _page(links) for profile_id, links in records.items()}


async def _published(
    connection: Connection, keys: Sequence[tuple[int, int]]
) -> dict[int, SnapshotPage]:
    """Return the published page of each profile that has one."""
    rows = await connection.fetch(SQL["published_pages"], *_columns(keys)) if keys else []
    return {
        row["profile_id"]: SnapshotPage(
            row["number"],
            row["page"].encode(),
            row["pictures"].encode(),
            msgspec.json.decode(row["links"], type=tuple[PageLink, ...]),
        )
        for row in rows
    }


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
        links, published = await _pages(connection, keys), await _published(connection, keys)
        for row in missing:
            page = LargePage(links.get(row["id"], ()), published.get(row["id"]))
            pages[row["id"]] = page
            while len(self._pages) >= MAX_LARGE_PAGES:
                del self._pages[next(iter(self._pages))]
            self._pages[row["id"]] = (row["version"], page)
        return pages


async def _variant_pictures(
    connection: Connection, experiments: Mapping[int, Sequence[EdgeExperiment]]
) -> dict[int, bytes]:
    """Return the pictures that variants show, as JSON by profile id."""
    keys = {
        (profile_id, int(variant.picture))
        for profile_id, edges in experiments.items()
        for edge in edges
        for variant in edge.experiment.variants
        if variant.picture is not None and variant.picture.isdecimal()
    }
    if not keys:
        return {}
    by_profile: dict[int, list[asyncpg.Record]] = {}
    for row in await connection.fetch(SQL["pictures"], *_columns(sorted(keys))):
        by_profile.setdefault(row["profile_id"], []).append(row)
    return {id_: encode_pictures(pictures_of(rows)) for id_, rows in by_profile.items()}


async def _experiments(
    connection: Connection, keys: Sequence[tuple[int, int]]
) -> dict[int, tuple[EdgeExperiment, ...]]:
    """Return the running experiments by profile id."""
    by_profile: dict[int, tuple[EdgeExperiment, ...]] = {}
    for row in await connection.fetch(SQL["experiments"], *_columns(keys)):
        edge_experiment = EdgeExperiment(
            experiment_of_row(row), row["secret"], row["namespace_secret"] or b""
        )
        by_profile[row["profile_id"]] = (*by_profile.get(row["profile_id"], ()), edge_experiment)
    return by_profile


def _page(records: Sequence[asyncpg.Record]) -> tuple[PageLink, ...]:
    ordered = sorted(records, key=lambda row: (row["position"], row["id"]))[:MAX_PAGE_LINKS]
    return tuple(
        PageLink(row["slug"], row["title"], row["target"][:MAX_URL_CHARS], row["kind"], row["id"])
        for row in ordered
    )


def _snapshot(
    row: asyncpg.Record,
    links: Sequence[asyncpg.Record],
    page: tuple[PageLink, ...],
    experiments: tuple[EdgeExperiment, ...],
    published: SnapshotPage | None,
    *,
    complete: bool,
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
        links=tuple(_edge_link(link) for link in sorted(links, key=lambda link: link["id"])),
        page=page,
        since=since,
        removed=removed,
        experiments=experiments,
        published=published,
        pictures=pictures,
    )


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
