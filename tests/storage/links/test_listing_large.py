"""Links of the largest size: pages, exports and imports of many of them need the memory of few."""

import io
import tracemalloc
from collections.abc import Awaitable, Callable

import pytest

from actors.links.import_run import ImportRun
from api.links.imports.export import LinkExportRoutes
from engine.common.export import ExportFormat
from engine.links.imports.importable_rows import ImportableRows
from engine.links.imports.link_file import LinkFile
from engine.links.imports.link_import import RowCounts
from engine.links.imports.rows import RowReader
from engine.links.link_query import LinkQuery, sort_value
from engine.links.link_size import MAX_CHARS_AT_ONCE
from engine.links.ports import ImportRow
from engine.links.profile import Profile, ProfileDraft
from engine.links.rules import LinkRule, RuleConditions
from engine.links.target import MAX_TARGET_CHARS
from tests.kit.file_imports import announce_nothing
from tests.kit.hosted import hosted_run
from tests.kit.stores import Stores

pytestmark = pytest.mark.trio(run=hosted_run)

# Two targets and notes of the longest, and a rule of some size: 80 KB.
CITIES = RuleConditions(city=tuple(f"City {n}" for n in range(90)))
RULES = (LinkRule(when=CITIES, target="https://a.example/"),)


# Of 250 links at once, an export would need 50 MB, an import 58 MB, and one that changes them 34 MB.
MAX_PEAK_BYTES = 16_000_000


def large(path: str) -> str:
    return f"https://example.com/{path}/".ljust(MAX_TARGET_CHARS, "x")


def large_row(number: int) -> ImportRow:
    fields = {"notes": "n" * 2_000, "fallback_target": large("over"), "rules": RULES}
    return ImportRow(number, "ada", f"s{number:04}", large(str(number)), "", fields=fields)


async def filled(stores: Stores, count: int) -> Profile:
    profile = await stores.profiles.create_profile(stores.caller, ProfileDraft(handle="ada"))
    for first in range(0, count, 25):
        rows = [large_row(n) for n in range(first, min(count, first + 25))]
        assert (await stores.bulk.import_rows(stores.caller, rows)).created == len(rows)
    return profile


@pytest.mark.parametrize("sort", ["created", "title", "position"])
@pytest.mark.parametrize("descending", [False, True])
async def test_a_page_of_large_links_is_short_and_the_next_one_goes_on(
    stores: Stores, sort: str, descending: bool
) -> None:
    profile = await filled(stores, 70)
    after, value, slugs, pages = 0, "", [], 0
    while True:
        query = LinkQuery(sort=sort, descending=descending, after_value=value)
        page = await stores.profiles.list_links(stores.caller, profile.id, after, 1_000, query)
        slugs += [link.slug for link in page.items]
        pages += 1
        chars = [len(link.target) + len(link.fallback_target) for link in page.items]
        assert sum(chars[:-1]) <= MAX_CHARS_AT_ONCE
        if page.next_after is None:
            break
        after, value = page.next_after, sort_value(page.items[-1], sort)
    assert slugs == sorted((f"s{n:04}" for n in range(70)), reverse=descending)
    assert pages == 3


async def test_rows_that_change_large_links_are_one_change_of_the_profile(stores: Stores) -> None:
    profile = await filled(stores, 60)
    before = await stores.profiles.profile(stores.caller, profile.id)
    rows = [
        ImportRow(n, "ada", f"s{n:04}", "https://small.example/", "", fields={"external_id": f"e{n}"})
        for n in range(70)
    ]  # fmt: skip
    twice = ImportRow(99, "ada", "s0001", "https://small.example/", "")
    result = await stores.bulk.import_rows(stores.caller, [*rows, twice])
    assert result[:3] == (10, 60, 0)
    assert [(reject.line, reject.first_line) for reject in result.rejected] == [(99, 1)]
    assert [change.version for change in result.changes] == [before.version + 1]
    links = (await stores.profiles.list_links(stores.caller, profile.id, 0, 1_000)).items
    assert {(link.slug, link.target, link.external_id) for link in links} == {
        (row.slug, row.target, row.fields["external_id"]) for row in rows[: len(links)]
    }
    again = await stores.bulk.import_rows(stores.caller, rows)
    assert again[:4] == (0, 0, 70, [])


def csv_file(count: int) -> bytes:
    """Return a file of links, each of which has 64 KB of targets."""
    lines = [f"s{n:04},{large(str(n))},{large('over')},Title {n}" for n in range(count)]
    return ("slug,target,fallback_target,title\n" + "\n".join(lines)).encode()


async def import_file(stores: Stores, file: bytes) -> RowCounts:
    rows = ImportableRows(
        LinkFile(io.BytesIO(file), {}, "ada"), RowReader("ada", private_hosts=False)
    )
    run = ImportRun(stores.bulk, announce_nothing)
    return (await run.run(stores.caller, rows)).counts


async def export_links(stores: Stores, profile: Profile, format_: ExportFormat) -> int:
    lines = LinkExportRoutes(stores.profiles)._lines(stores.caller, profile, format_, excel=False)
    return sum([len(chunk) async for chunk in lines])


async def peak_of(work: Callable[[], Awaitable[object]]) -> int:
    """Return how many bytes the work needed at once."""
    tracemalloc.start()
    try:
        await work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
@pytest.mark.parametrize(
    "count", [250, pytest.param(2_500, marks=[pytest.mark.large, pytest.mark.timeout(900)])]
)
async def test_the_memory_of_an_import_and_an_export_does_not_grow_with_their_links(
    stores: Stores, count: int
) -> None:
    profile = await stores.profiles.create_profile(stores.caller, ProfileDraft(handle="ada"))
    links = csv_file(count)
    titles = b"slug,target,title\n" + b"".join(
        b"s%04d,https://a.example/,T\n" % number for number in range(count)
    )

    async def import_links() -> None:
        assert await import_file(stores, links) == RowCounts(created=count)

    async def export_them() -> None:
        assert await export_links(stores, profile, "csv") > len(links)

    async def import_titles() -> None:
        assert await import_file(stores, titles) == RowCounts(updated=count)

    for work in (import_links, export_them, import_titles):
        assert await peak_of(work) < MAX_PEAK_BYTES, work
