"""Hostile files, a process for each: all are refused or cleaned in seconds, this process stays as it is."""

import io
import resource
import tempfile
import time

import pytest
import trio
from PIL import Image

from engine.assets.asset import FORMATS
from engine.common.errors import InvalidError
from storage.assets.decoder import ProcessPictureDecoder
from tests.kit.hosted import hosted_run
from tests.kit.pictures import (
    HTML,
    NO_PICTURES,
    SVG,
    ZIP,
    animation,
    encoded,
    good,
    photo_with_secrets,
    png_of_size,
    scene,
)

pytestmark = [
    pytest.mark.large, pytest.mark.timeout(600), pytest.mark.trio(run=hosted_run),
]  # fmt: skip
ANSWER_LIMIT_S = 10.0
SOURCES = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIF")


class Trial:
    """A decoder of hostile files, two at a time as in a console. `reasons` are of those that were refused."""

    def __init__(self) -> None:
        self.decoder = ProcessPictureDecoder()
        self._at_once = trio.CapacityLimiter(2)
        self.reasons: list[str] = []
        self.slowest_s = 0.0

    @property
    def refused(self) -> int:
        return len(self.reasons)

    async def decode(self, content: bytes) -> None:
        async with self._at_once:
            started = time.monotonic()
            with tempfile.TemporaryFile() as file:
                file.write(content)
                file.flush()
                try:
                    picture = await self.decoder.decode(file)
                except InvalidError as error:
                    self.reasons.append(error.errors[0].reason)
                else:
                    for rendition in picture.renditions:
                        made = picture.files[rendition.name]
                        assert b"<script" not in made
                        assert Image.open(io.BytesIO(made)).size == (
                            rendition.width,
                            rendition.height,
                        )
            self.slowest_s = max(self.slowest_s, time.monotonic() - started)

    async def decode_all(self, contents: list[bytes]) -> None:
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        async with trio.open_nursery() as nursery:
            for content in contents:
                nursery.start_soon(self.decode, content)
        assert self.slowest_s < ANSWER_LIMIT_S
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 64 * 1024


async def test_bombs_and_giants() -> None:
    trial = Trial()
    grey = encoded(Image.new("L", (20_000, 2_400)), "PNG")
    await trial.decode_all(
        [
            png_of_size(50_000, 50_000), png_of_size(65_535, 65_535), png_of_size(7_000, 7_000),
            png_of_size(50_000, 1), png_of_size(1, 50_000), animation(300, 400, 400), grey,
            encoded(Image.new("RGBA", (7_000, 7_000), (1, 2, 3, 4)), "PNG"),
            encoded(scene(7_000, 7_000), "JPEG"), encoded(scene(7_000, 7_000, "CMYK"), "JPEG"),
        ]
    )  # fmt: skip
    assert trial.refused >= 5


async def test_polyglots_and_what_is_no_picture() -> None:
    trial = Trial()
    tails = (HTML, SVG, ZIP, b"%PDF-1.7", bytes(100_000))
    await trial.decode_all([good(format_) + tail for format_ in SOURCES for tail in tails])
    assert trial.refused == 0
    await trial.decode_all([*NO_PICTURES.values(), *(tail + good("JPEG") for tail in tails)])
    assert trial.refused >= len(NO_PICTURES) + 4


async def test_the_largest_photos_take_less_than_ten_seconds() -> None:
    trial = Trial()
    photo = scene(8_000, 6_000)
    await trial.decode_all([encoded(photo, format_) for format_ in ("JPEG", "PNG", "WEBP")])
    await trial.decode_all([photo_with_secrets()])
    assert trial.refused == 0
    assert len(FORMATS) == 3
