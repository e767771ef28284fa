"""Pages and batches that their size ends, not their number of links."""

import random
from datetime import UTC, datetime

from engine.links.link import Link
from engine.links.link_size import MAX_CHARS_AT_ONCE, LinkPage, parts_of

AT = datetime(2026, 5, 1, tzinfo=UTC)


def test_parts_have_every_item_once_and_only_the_last_one_of_a_part_makes_it_too_large() -> None:
    dice = random.Random(5)
    for limit in (1, 7, 1_000):
        sizes = [dice.choice([0, 100, 90_000, MAX_CHARS_AT_ONCE, 5_000_000]) for _ in range(200)]
        parts = list(parts_of(sizes, int, limit))
        assert [size for part in parts for size in part] == sizes
        for part in parts:
            assert 0 < len(part) <= limit
            assert sum(part[:-1]) <= MAX_CHARS_AT_ONCE
        for part in parts[:-1]:
            assert len(part) == limit or sum(part) > MAX_CHARS_AT_ONCE
    assert list(parts_of([], int, 3)) == []


def link(number: int) -> Link:
    return Link(
        id=number,
        profile_id=1,
        slug=f"s{number}",
        target="https://example.com/",
        title="",
        status=302,
        kind="url",
        passthrough=False,
        click_id=False,
        short=False,
        version=1,
        created_at=AT,
        updated_at=AT,
    )


def filled(limit: int, sizes: list[int]) -> LinkPage:
    page = LinkPage(limit)
    for number, size in enumerate(sizes, 1):
        if not page.add(link(number), size):
            break
    return page


def test_a_page_ends_by_its_number_its_size_or_the_end_of_the_list() -> None:
    half = MAX_CHARS_AT_ONCE // 2 + 1
    for limit, sizes, ids, next_after in (
        (3, [], [], None),
        (3, [1, 1, 1], [1, 2, 3], None),
        (2, [1, 1, 1], [1, 2], 2),
        (9, [half, half], [1, 2], None),
        (9, [half, half, 1], [1, 2], 2),
        (9, [MAX_CHARS_AT_ONCE + 1, 1], [1], 1),
    ):
        items: list[Link]
        items, following = filled(limit, sizes).page()
        assert ([each.id for each in items], following) == (ids, next_after)
