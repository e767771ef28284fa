"""One content hash over all assets, and three forms of each."""

import gzip

import brotli
import pytest

from api.dashboard.assets import Assets, assets

FILES = {"app.css": b"a {}", "js/app.js": b"icon('house');" * 50, "icon.svg": b"<svg/>"}


def test_any_change_changes_the_hash_and_so_every_url() -> None:
    first = Assets(FILES)
    assert first.path("app.css") == f"/assets/{first.hash}/app.css"
    for name in FILES:
        assert Assets(FILES | {name: FILES[name] + b" "}).hash != first.hash
    assert Assets(FILES | {"js/more.js": b""}).hash != first.hash
    assert Assets(dict(reversed(FILES.items()))).hash == first.hash


def test_each_form_gives_the_same_bytes() -> None:
    asset = Assets(FILES).get("js/app.js")
    assert asset is not None
    assert gzip.decompress(asset.gzip) == brotli.decompress(asset.brotli) == asset.plain
    assert len(asset.brotli) < len(asset.plain)


def test_an_asset_that_is_not_there_has_no_path() -> None:
    with pytest.raises(KeyError):
        Assets(FILES).path("js/no.js")


def test_the_installed_assets_are_whole() -> None:
    """Every module that is imported is there, and a screen has its stylesheet."""
    installed = assets()
    screens = [name for name in installed.names() if name.startswith("js/screens/")]
    assert screens
    for name in screens:
        style = name.replace("js/", "css/").replace(".js", ".css")
        assert "_" in name or installed.get(style) is not None, style
