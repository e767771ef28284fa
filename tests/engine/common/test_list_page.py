"""A list page says whether others follow; a version check says which version there is."""

from types import SimpleNamespace

import pytest

from engine.common.errors import LostUpdateError, NotFoundError
from engine.common.list_page import ListPage
from engine.common.versions import require_version


@pytest.mark.parametrize(
    ("read", "kept", "next_after"), [(0, 0, None), (1, 1, None), (2, 2, None), (3, 2, 2)]
)
def test_one_more_than_the_limit_means_that_others_follow(
    read: int, kept: int, next_after: int | None
) -> None:
    rows = [SimpleNamespace(id=number, seq=10 * number) for number in range(1, read + 1)]
    page = ListPage.of(rows, 2)
    assert [row.id for row in page.items] == list(range(1, kept + 1))
    assert page.next_after == next_after
    assert ListPage.of(rows, 2, "seq").next_after == (next_after and 10 * next_after)


def test_a_version_is_checked_only_where_the_caller_names_one() -> None:
    require_version(3, None)
    require_version(3, 3)
    with pytest.raises(LostUpdateError, match="the version is 3"):
        require_version(3, 2)


def test_what_is_not_there_is_named() -> None:
    assert str(NotFoundError.of("link")) == "there is no such link"
