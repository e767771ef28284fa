"""The sprite has each icon that the dashboard's modules name, and nothing else."""

import pytest

from api.dashboard.icons import icon_names, sprite


def test_icons_are_found_where_they_are_named() -> None:
    module = "button('x', {icon: 'house'}); icon('link'); icon('link'); lexicon('no'); icon(name)"
    assert icon_names([module, "{icon:'plus'}"]) == ["house", "link", "plus"]


def test_a_sprite_has_a_symbol_for_each_icon_and_no_style() -> None:
    text = sprite(["house", "link"])
    assert text.count("<symbol") == 2
    assert '<symbol id="i-house" viewBox="0 0 24 24"><path' in text
    assert "style" not in text


def test_an_icon_that_lucide_lacks_is_an_error() -> None:
    with pytest.raises(KeyError):
        sprite(["no-such-icon"])
