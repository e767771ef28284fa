"""The decoder of uploads: what it makes of pictures, and what hostile files do to it and to this process."""

import io
import resource
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import pytest
from PIL import Image

from engine.assets.asset import FORMATS, MAX_PIXELS, Picture
from engine.common.errors import InvalidError, UnavailableError
from storage.assets.decoder import ProcessPictureDecoder
from tests.kit.hosted import hosted_run
from tests.kit.pictures import (
    NO_PICTURES,
    SVG,
    animation,
    encoded,
    good,
    photo_with_secrets,
    png_of_size,
    scene,
)

pytestmark = [pytest.mark.slow, pytest.mark.trio(run=hosted_run)]


@contextmanager
def file_of(content: bytes) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file


async def decode(content: bytes, decoder: ProcessPictureDecoder | None = None) -> Picture:
    with file_of(content) as file:
        return await (decoder or ProcessPictureDecoder()).decode(file)


async def refusal(content: bytes) -> str:
    """Return the reason why an upload is refused."""
    with pytest.raises(InvalidError) as raised:
        await decode(content)
    (error,) = raised.value.errors
    assert error.field == "body"
    return error.reason


def opened(picture: Picture, name: str) -> Image.Image:
    return Image.open(io.BytesIO(picture.files[name]))


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIF"])
async def test_a_picture_of_each_format_gets_its_renditions(format_: str) -> None:
    picture = await decode(good(format_))
    assert picture.source == format_.lower()
    width = 64 if format_ == "HEIF" else 96
    assert (picture.width, len(picture.renditions)) == (width, len(FORMATS))
    for rendition in picture.renditions:
        made = opened(picture, rendition.name)
        assert made.size == (rendition.width, rendition.height)
        assert len(picture.files[rendition.name]) == rendition.bytes


async def test_a_large_picture_is_made_at_each_width() -> None:
    picture = await decode(encoded(scene(1600, 1200), "JPEG"))
    sizes = {(rendition.width, rendition.height) for rendition in picture.renditions}
    assert sizes == {(320, 240), (640, 480), (1040, 780)}
    assert (picture.width, picture.height) == (1040, 780)


async def test_a_photo_is_turned_upright_and_loses_its_metadata() -> None:
    picture = await decode(photo_with_secrets())
    assert (picture.width, picture.height) == (64, 96)
    for name, content in picture.files.items():
        made = opened(picture, name)
        assert b"SECRET" not in content, name
        assert b"script" not in content, name
        assert not made.getexif(), name
        assert not {"exif", "icc_profile", "xmp", "comment"} & made.info.keys(), name
        # What was left at the top is right at the top once it is turned.
        red = made.convert("RGB").getpixel((48, 16))
        assert isinstance(red, tuple)
        assert red[0] > 200, name
        assert red[1] < 60, name


async def test_transparency_is_kept_where_the_format_has_it() -> None:
    picture = scene(mode="RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    made = await decode(encoded(picture, "PNG"))
    for format_ in ("avif", "webp"):
        assert opened(made, f"96.{format_}").mode == "RGBA"
    flat = opened(made, "96.jpg")
    top = flat.getpixel((90, 2))
    assert isinstance(top, tuple)
    assert min(top) > 240, "on white"


@pytest.mark.parametrize("mode", ["P", "I;16", "CMYK"])
async def test_a_picture_of_each_mode_keeps_its_colours(mode: str) -> None:
    if mode == "I;16":
        source = Image.new("I;16", (96, 64), 65_535)
        source.paste(0, (0, 0, 48, 32))
    else:
        source = scene(mode=mode)
    format_ = "JPEG" if mode == "CMYK" else "PNG"
    made = opened(await decode(encoded(source, format_)), "96.webp").convert("RGB")
    wanted = source.convert("RGB") if mode != "I;16" else Image.new("RGB", (96, 64), (0, 0, 0))
    pixel, there = made.getpixel((20, 10)), wanted.getpixel((20, 10))
    assert isinstance(pixel, tuple)
    assert isinstance(there, tuple)
    assert max(abs(a - b) for a, b in zip(pixel, there, strict=True)) < 40


@pytest.mark.parametrize("profile", [bytes(range(256)) * 900])
async def test_an_odd_colour_profile_is_dropped(profile: bytes) -> None:
    made = await decode(encoded(scene(), "PNG", icc_profile=profile))
    assert "icc_profile" not in opened(made, "96.webp").info


async def test_of_an_animation_the_first_frame_is_kept() -> None:
    picture = await decode(animation(20))
    assert getattr(opened(picture, "64.webp"), "n_frames", 1) == 1


@pytest.mark.parametrize("name", ["svg", "tiff"])
async def test_what_is_no_picture_that_is_taken_is_refused_with_a_reason(name: str) -> None:
    reason = await refusal(NO_PICTURES[name])
    assert ("SVG" in reason) == (name == "svg")
    assert "JPEG, PNG, WebP" in reason or name == "svg"


async def test_pictures_that_are_too_large_or_too_long_are_refused_by_their_head() -> None:
    assert f"{MAX_PIXELS // 1_000_000} million" in await refusal(png_of_size(50_000, 50_000))
    assert "5 times" in await refusal(encoded(Image.new("L", (6_000, 1_000)), "PNG"))


@pytest.mark.parametrize("format_", ["JPEG", "HEIF"])
async def test_a_truncated_picture_is_refused(format_: str) -> None:
    content = good(format_)
    assert await refusal(content[: int(len(content) * 0.7)])


async def test_a_polyglot_keeps_its_pixels_only() -> None:
    picture = await decode(good("GIF") + SVG + b"PK\x03\x04")
    assert all(
        b"svg" not in content and b"PK" not in content[:4] for content in picture.files.values()
    )


# ---- the process ---------------------------------------------------------------------------------


def misbehaving(program: str) -> ProcessPictureDecoder:
    """Return a decoder whose process runs this program behind the imports."""
    return ProcessPictureDecoder(
        [sys.executable, "-c", f"import os, sys, time\n{program}"], time_limit_s=3
    )


@pytest.mark.parametrize(
    ("program", "result"),
    [
        ("os.abort()", "died"),
        ("os.kill(os.getpid(), 11)", "died"),
        ("print('garbage')", "died"),
        ('print(\'{"result":"decoded"}\')', "died"),
        (
            'print(\'{"result":"decoded","source":"png","width":1,"height":1,"renditions":[]}\')',
            "died",
        ),
        (
            'print(\'{"result":"decoded","source":"png","width":1,"height":1,"renditions":'
            '[{"width":1,"height":1,"format":"jpg","bytes":99}]}\')',
            "died",
        ),
        ("os.kill(os.getpid(), 24)", "exhausted"),
    ],
)
async def test_whatever_the_process_does_the_member_gets_a_reason(
    program: str, result: str
) -> None:
    decoder = misbehaving(program)
    with pytest.raises(InvalidError):
        await decode(b"x", decoder)
    assert decoder.results[result] == 1
    assert {sample.labels: sample.value for sample in decoder.samples()}


async def test_a_process_that_does_not_end_is_ended() -> None:
    decoder = ProcessPictureDecoder(
        [sys.executable, "-c", "import time; time.sleep(60)"], time_limit_s=0.2
    )
    with pytest.raises(UnavailableError):
        await decode(b"x", decoder)
    assert decoder.results["late"] == 1


async def test_this_process_does_not_grow_with_what_it_has_decoded() -> None:
    await decode(good("PNG"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InvalidError):
        await decode(png_of_size(7_000, 7_000))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024
