"""List pages with their cursor, and the errors for another version and an unknown id."""

from types import SimpleNamespace

import pytest

from engine.common.errors import LostUpdateError, NotFoundError
from engine.common.list_page import ListPage
from engine.common.versions import require_version


@pytest.mark.parametrize(
    ("read", "listed", "next_after"), [(0, 0, None), (1, 1, None), (2, 2, None), (3, 2, 2)]
)
def test_one_item_above_the_limit_means_that_more_follow(
    read: int, listed: int, next_after: int | None
) -> None:
    rows = [SimpleNamespace(id=number, seq=10 * number) for number in range(1, read + 1)]
    page = ListPage.of(rows, 2)
    assert [row.id for row in page.items] == list(range(1, listed + 1))
    assert page.next_after == next_after
    assert ListPage.of(rows, 2, "seq").next_after == (next_after and 10 * next_after)


def test_a_version_is_checked_only_where_the_caller_names_one() -> None:
    require_version(3, None)
    require_version(3, 3)
    with pytest.raises(LostUpdateError, match="the version is 3"):
        require_version(3, 2)


def test_the_error_for_an_unknown_id_names_the_kind_of_object() -> None:
    assert str(NotFoundError.of("link")) == "there is no such link"
