"""Side paths: which paths are about a link or a page."""

import pytest

from engine.visits.side_path import side_path


@pytest.mark.parametrize(
    ("path", "expected"),
    [(b"/@shop/pixel.gif", (b"/@shop", "hit")), (b"/shop/a/pixel.gif", (b"/shop/a", "hit")),
     (b"/pixel.gif", None), (b"/@shop", None), (b"/@shop/pixel.png", None), (b"/@shop/pixel.gif/", None),
     (b"/a/qr", (b"/a", "qr")), (b"/@shop/qr", (b"/@shop", "qr")), (b"/qr", None), (b"/a/qr/", None),
     (b"/a/QR", None), (b"/a+", (b"/a", "destination")), (b"/shop/a+", (b"/shop/a", "destination")),
     (b"/+", None), (b"+", None), (b"", None)],
)  # fmt: skip
def test_the_subject_of_a_side_path(path: bytes, expected: tuple[bytes, str] | None) -> None:
    assert side_path(path) == expected
