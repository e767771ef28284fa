"""One content hash over all assets, and three forms of each."""

import gzip
import re

import brotli
import pytest

from api.dashboard.files import STYLES, DashboardFiles, dashboard_files

FILES = {"app.css": b"a {}", "js/app.js": b"icon('house');" * 50, "icon.svg": b"<svg/>"}


def test_any_change_changes_the_hash_and_so_every_url() -> None:
    first = DashboardFiles(FILES)
    assert first.path("app.css") == f"/assets/{first.hash}/app.css"
    for name in FILES:
        assert DashboardFiles(FILES | {name: FILES[name] + b" "}).hash != first.hash
    assert DashboardFiles(FILES | {"js/more.js": b""}).hash != first.hash
    assert DashboardFiles(dict(reversed(FILES.items()))).hash == first.hash


def test_each_form_gives_the_same_bytes() -> None:
    asset = DashboardFiles(FILES).get("js/app.js")
    assert asset is not None
    assert gzip.decompress(asset.gzip) == brotli.decompress(asset.brotli) == asset.plain
    assert len(asset.brotli) < len(asset.plain)


def test_an_asset_that_is_not_there_has_no_path() -> None:
    with pytest.raises(KeyError):
        DashboardFiles(FILES).path("js/no.js")


def test_each_icon_is_in_the_shell_or_in_the_file_of_the_others() -> None:
    files = DashboardFiles(
        {"app.js": b"icon('house')", "screens/x.js": b"icon('house') icon('link')"}
    )
    icons = files.get("icons.svg")
    assert icons is not None
    assert re.findall(r'id="i-([\w-]+)"', files.sprite) == ["house"]
    assert re.findall(rb'id="i-([\w-]+)"', icons.plain) == [b"link"]


def test_the_installed_assets_are_whole() -> None:
    """Every module that is imported is there, and a screen has its stylesheet."""
    installed = dashboard_files()
    table = installed.get("js/screens.js")
    assert table is not None
    rows = re.findall(
        r"^  \{name: '(\w+)'(?:.*style: '(\w+)')?", table.plain.decode(), re.MULTILINE
    )
    assert len(rows) > 5
    frame = installed.get("app.js")
    assert frame is not None
    for name, style in rows:
        if f"const $screens_{name} =" in frame.plain.decode():
            assert f"screens/{name}" in STYLES
            continue
        assert installed.get(f"screens/{name}.js") is not None, name
        assert installed.get(f"css/screens/{style or name}.css") is not None, name
