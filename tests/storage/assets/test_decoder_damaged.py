"""Files that are damaged in one place, thousands of them: each is refused or cleaned, and none takes long.

They share a process that is confined as that of an upload is; test_decoder_hostile.py has those that may do
anything to it. With the figures: pytest -m large -s tests/storage/assets/test_decoder_damaged.py
"""

from collections import Counter
from collections.abc import Iterable, Iterator

import pytest
from PIL import ImageCms

from bench.kit.report import progress
from tests.kit.many_pictures import ManyPictures
from tests.kit.pictures import animation, encoded, good, scene

pytestmark = [pytest.mark.large, pytest.mark.timeout(600)]
ANSWER_LIMIT_S = 10.0
SOURCES = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIF")


class Tally:
    """A process that decodes many files, and how they ended."""

    def __init__(self) -> None:
        self._process = ManyPictures()
        self.results: Counter[str] = Counter()
        self.slowest_s = 0.0

    def decode(self, contents: Iterable[bytes]) -> Counter[str]:
        """Decode files one after the other, and return their results; add them to the tally."""
        results: Counter[str] = Counter()
        for content in contents:
            file = self._process.decode(content)
            assert file.is_whole
            results[file.result] += 1
            self.slowest_s = max(self.slowest_s, file.took_s)
        self.results += results
        return results

    def end(self) -> None:
        """Assert that no file was slow, or took the process with it or its memory away; print the figures."""
        progress(f"{dict(self.results)}, the slowest in {self.slowest_s:.2f} s")
        assert self._process.peak_kib() < 256 * 1024
        assert self.results["died"] == self.results["exhausted"] == 0
        assert self.slowest_s < ANSWER_LIMIT_S


@pytest.fixture
def tally() -> Iterator[Tally]:
    made = Tally()
    with made._process:
        yield made
        made.end()


def changed(content: bytes, at: int, mask: int) -> bytes:
    return content[:at] + bytes([content[at] ^ mask]) + content[at + 1 :]


def test_truncated_at_200_places(tally: Tally) -> None:
    for format_ in SOURCES:
        content = good(format_)
        places = sorted({len(content) * number // 200 for number in range(200)})
        results = tally.decode(content[:place] for place in places)
        assert results["refused"] > len(places) * 0.9


def test_every_byte_of_a_head_flipped(tally: Tally) -> None:
    for format_ in SOURCES:
        content = good(format_)
        for mask in (0xFF, 0x01, 0x80):
            tally.decode(changed(content, at, mask) for at in range(100))


def test_oddities_of_colour_profiles_are_left_aside(tally: Tally) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    profiles = [
        b"\0",
        b"x" * 500,
        srgb[:200],
        srgb[:-1],
        lab,
        srgb * 50,
        bytes(len(srgb)),
        bytes(2 << 20),
    ]
    profiles += [changed(srgb, at, 0xFF) for at in range(132)]  # its head, and its count of tags
    for format_ in ("JPEG", "PNG", "WEBP"):
        pictures = [encoded(scene(), format_, icc_profile=profile) for profile in profiles]
        assert (
            tally.decode(pictures)["decoded"] >= len(profiles) - 1
        )  # Pillow takes no 2 MiB in a PNG
    in_inks = [encoded(scene(mode="CMYK"), "JPEG", icc_profile=each) for each in profiles]
    assert tally.decode(in_inks) == {"decoded": len(profiles)}


def test_of_giant_animations_the_first_frame_is_kept_or_nothing(tally: Tally) -> None:
    frames = [scene(64, 64).rotate(at) for at in range(300)]
    gif = animation(3)
    screen = gif[:6] + b"\xff\xff\xff\xff" + gif[10:]  # 65,535 x 65,535 pixels
    many = [
        encoded(frames[0], format_, save_all=True, append_images=frames[1:])
        for format_ in ("GIF", "WEBP", "PNG", "AVIF")
    ]
    count = many[2].index(b"acTL") + 4
    endless = many[2][:count] + b"\xff" * 8 + many[2][count + 8 :]  # and a wrong checksum
    assert tally.decode(many) == {"decoded": len(many)}
    assert tally.decode([screen])["refused"] == 1
    tally.decode([endless, changed(many[1], 24, 0xFF), changed(many[1], 27, 0xFF), many[0][:-20]])
