"""Hostile files over the API and the real decoder: 422 with a reason or a clean picture, in ten seconds."""

import time
from functools import cache

import pytest

from storage.assets.decoder import ProcessPictureDecoder
from tests.kit.consoles import Console
from tests.kit.hosted import hosted_run
from tests.kit.pictures import (
    HTML,
    SVG,
    ZIP,
    animation,
    encoded,
    good,
    photo_with_secrets,
    png_of_size,
    scene,
)

pytestmark = [pytest.mark.large, pytest.mark.trio(run=hosted_run)]


@cache
def refused() -> dict[str, bytes]:
    """Return bodies that are no picture, by what is wrong."""
    return {
        "a bomb": png_of_size(50_000, 50_000),
        "a thin bomb": png_of_size(50_000, 1),
        "a zip": ZIP,
        "SVG": SVG,
        "cut short": good("PNG")[:-40],
        "a page with a picture behind it": HTML + good("JPEG"),
        "a giant screen": animation(3)[:6] + b"\xff\xff\xff\xff" + animation(3)[10:],
    }


@cache
def cleaned() -> dict[str, bytes]:
    """Return pictures that are kept without what they hide, by what that is."""
    return {
        "a picture with a page behind it": good("GIF") + HTML,
        "a picture with a zip behind it": good("PNG") + ZIP,
        "a photo with a place": photo_with_secrets(),
        "a long animation": animation(300, 200, 200),
        "a broken profile": encoded(scene(), "PNG", icc_profile=b"x" * 400),
    }


async def test_each_is_refused_or_cleaned_and_nothing_else_is_kept() -> None:
    console = Console()
    path = f"/v1/profiles/{(await console.profile())['id']}/assets"
    for name, body in (refused() | cleaned()).items():
        started = time.monotonic()
        answer = await console.call("POST", path, body, Content_Type="image/png")
        took_s = time.monotonic() - started
        assert took_s < 10, name
        if name in refused():
            assert answer.problem(422)["body"], name
        else:
            assert answer.status == 201, name
    files = console.asset_files.files
    assert len(files) == len(cleaned())
    for content in (content for each in files.values() for content in each.values()):
        assert not any(mark in content for mark in (b"SECRET", b"<script", b"PK\x03\x04"))
    assert isinstance(console.uploads._decoder, ProcessPictureDecoder)
