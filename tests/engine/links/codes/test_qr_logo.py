"""QR codes with a logo: a reader still reads them, whatever the picture and however long the address."""

import base64
import io
import random
from xml.etree import ElementTree

import pytest
import zxingcpp
from PIL import Image

from engine.links.codes.qr import QrLook, qr_image
from engine.links.codes.qr_logo import MAX_SHARE, logo_pixels, qr_image_with_logo

_SVG = "{http://www.w3.org/2000/svg}"
_ADDRESSES = (
    "https://go.example/a",
    "https://go.example/ada/spring-collection",
    "https://links.example.com/" + "x" * 120,
    "https://go.example/ada/" + "%F0%9F%8E%81" * 60,
)


def webp(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "WEBP", lossless=True)
    return file.getvalue()


def noise(seed: int, size: tuple[int, int] = (60, 60)) -> Image.Image:
    """Return a picture that looks like modules: the worst a logo can be."""
    chance = random.Random(seed)
    values = bytes(chance.choice((0, 255)) for _ in range(size[0] * size[1]))
    return Image.frombytes("L", size, values).convert("RGB")


def pictures() -> list[Image.Image]:
    return [
        Image.new("RGB", (320, 320), "black"),
        Image.new("RGBA", (320, 64), (20, 33, 61, 128)),
        noise(1),
        noise(2, (24, 120)),
    ]


@pytest.mark.parametrize("address", _ADDRESSES)
@pytest.mark.parametrize("size", [400, 1000])
def test_a_reader_reads_a_code_with_a_logo(address: str, size: int) -> None:
    for picture in pictures():
        look = QrLook(format="png", size=size, error="l", dark="14213d", light="fefefe")
        image = Image.open(io.BytesIO(qr_image_with_logo(address, look, webp(picture))))
        results = zxingcpp.read_barcodes(image)
        assert [result.text for result in results] == [f"{address}?wp_t=qr"]
        assert results[0].ec_level == "H"


def test_a_code_under_a_larger_logo_could_not_be_read() -> None:
    look = QrLook(format="png", size=400)
    image = Image.open(io.BytesIO(qr_image(_ADDRESSES[1], look))).convert("RGB")
    image.paste(noise(3).resize((180, 180)), (110, 110))
    assert zxingcpp.read_barcodes(image) == []


def test_an_svg_has_the_logo_in_its_middle() -> None:
    look = QrLook(size=500, light="fefefe")
    image = qr_image_with_logo(_ADDRESSES[1], look, webp(Image.new("RGB", (640, 320), "red")))
    root = ElementTree.fromstring(image)
    rect, logo = root.find(f"{_SVG}rect"), root.find(f"{_SVG}image")
    assert rect is not None
    assert logo is not None
    for element in (rect, logo):
        x, y, width, height = (float(element.attrib[k]) for k in ("x", "y", "width", "height"))
        assert (x + width / 2, y + height / 2) == pytest.approx((250, 250), abs=0.01)
        assert width <= 500 * MAX_SHARE
    assert rect.attrib["fill"] == "#fefefe"
    kind, data = logo.attrib["href"].split(",")
    assert kind == "data:image/png;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (320, 160)
    assert float(root.attrib["width"]) == 500


def test_an_address_that_is_too_long_for_the_level_has_no_logo() -> None:
    with pytest.raises(ValueError, match="too long"):
        qr_image_with_logo("https://go.example/" + "a" * 1300, QrLook(), webp(noise(4)))


def test_a_logo_comes_from_a_file_that_is_large_enough() -> None:
    assert logo_pixels(QrLook(format="png", size=2000)) == 500
    assert logo_pixels(QrLook(size=2000)) == 320
