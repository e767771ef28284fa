"""Side paths: which paths are about a link or a page."""

from typing import Any

import pytest

from engine.visits.paths.side_path import SidePath, side_path


@pytest.mark.parametrize(
    ("path", "expected"),
    [(b"/@shop/pixel.gif", (b"/@shop", "hit")), (b"/shop/a/pixel.gif", (b"/shop/a", "hit")),
     (b"/pixel.gif", None), (b"/@shop", None), (b"/@shop/pixel.png", None), (b"/@shop/pixel.gif/", None),
     (b"/a/qr", (b"/a", "qr")), (b"/@shop/qr", (b"/@shop", "qr")), (b"/qr", None), (b"/a/qr/", None),
     (b"/a/QR", None), (b"/a+", (b"/a", "destination")), (b"/shop/a+", (b"/shop/a", "destination")),
     (b"/+", None), (b"+", None), (b"", None)],
)  # fmt: skip
def test_the_subject_of_a_side_path(path: bytes, expected: tuple[bytes, str] | None) -> None:
    side = side_path(path)
    assert (None if side is None else side[:2]) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [(b"/@shop/contact-b1.vcf", (b"/@shop", "file", "contact-b1.vcf")),
     (b"/@shop/event-a-2.ics", (b"/@shop", "file", "event-a-2.ics")),
     (b"/@shop/manifest.webmanifest", (b"/@shop", "file", "manifest.webmanifest")),
     (b"/@shop/subscribe", (b"/@shop", "subscribe", "")),
     (b"/@shop/variants.json", (b"/@shop", "variants", "")), (b"/shop/variants.json", None),
     (b"/@shop/variants.json/", None), (b"/@shop/x/variants.json", None), (b"/@shop/variantsxjson", None),
     (b"/shop/subscribe", None), (b"/@shop/contact-b1.ics", None), (b"/@shop/contact-.vcf", None),
     (b"/@shop/contact-%0a.vcf", None), (b"/@/subscribe", None), (b"/@shop/x/subscribe", None),
     (b"/@shop/subscribe/", None), (b"/@shop/contact-" + b"a" * 33 + b".vcf", None)],
)  # fmt: skip
def test_files_and_the_form_of_a_page(path: bytes, expected: tuple[Any, ...] | None) -> None:
    assert side_path(path) == (None if expected is None else SidePath(*expected))
