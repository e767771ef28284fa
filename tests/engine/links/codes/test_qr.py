"""QR codes: which looks there are, and what images hold."""

import struct
import zlib
from xml.etree import ElementTree

import pytest
import segno

from engine.links.codes.qr import QrLook, qr_image, qr_look, qr_look_of_query

ADDRESS = "https://go.example/shop/a"


def rows_of(png: bytes) -> list[str]:
    """Return the pixels of a PNG of two colours, row by row as bits."""
    width, height, depth = struct.unpack(">IIB", png[16:25])
    assert (width, depth) == (height, 1)
    data, at = b"", 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        data += png[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += length + 12
    pixels, stride = zlib.decompress(data), (width + 7) // 8 + 1
    rows: list[bytes] = []
    for y in range(height):
        row = pixels[y * stride + 1 : (y + 1) * stride]
        if pixels[y * stride] == 2:  # each byte is the difference to the one above
            row = bytes((a + b) % 256 for a, b in zip(row, rows[-1], strict=True))
        rows.append(row)
    return ["".join(f"{byte:08b}" for byte in row)[:width] for row in rows]


def test_a_png_has_the_modules_of_the_marked_address() -> None:
    rows = rows_of(qr_image(ADDRESS, QrLook(format="png", size=300)))
    code = segno.make_qr(f"{ADDRESS}?wp_t=qr", error="m")
    modules = ["".join(str(int(module)) for module in row) for row in code.matrix_iter(border=4)]
    scale = len(rows) // len(modules)
    assert 300 - len(modules) < len(rows) <= 300
    sampled = [row[scale // 2 :: scale] for row in rows[scale // 2 :: scale]]
    light = sampled[0][0]
    assert [["0" if bit == light else "1" for bit in row] for row in sampled] == [
        list(row) for row in modules
    ]


def test_an_svg_has_its_size_and_colours() -> None:
    image = qr_image(ADDRESS, QrLook(size=999, dark="14213d", light="fefefe"))
    root = ElementTree.fromstring(image)
    assert float(root.attrib["width"]) == pytest.approx(999)
    assert b"#14213d" in image
    assert b"#fefefe" in image


def test_a_long_address_has_a_lower_level_of_error_correction() -> None:
    long = "https://go.example/" + "%C3%A9" * 400
    assert qr_image(long, QrLook(error="h")).startswith(b"<svg")
    with pytest.raises(ValueError, match="too long"):
        qr_image(long * 2, QrLook())


@pytest.mark.parametrize(
    ("values", "field"),
    [({"format": "gif"}, "format"), ({"error": "x"}, "error"), ({"size": "63"}, "size"),
     ({"size": "2001"}, "size"), ({"size": "1e3"}, "size"), ({"dark": "red"}, "dark"),
     ({"light": "fff"}, "light"), ({"dark": "ffffff", "light": "000000"}, "dark"),
     ({"dark": "888888"}, "dark"), ({"dark": "000000", "light": "333333"}, "dark")],
)  # fmt: skip
def test_a_look_that_cannot_be_or_cannot_be_read_is_refused(
    values: dict[str, str], field: str
) -> None:
    _, errors = qr_look(values)
    assert [error.field for error in errors] == [field]


def test_a_visitors_query_chooses_the_look() -> None:
    look = qr_look_of_query(b"format=PNG&size=64&dark=%23000080&utm_source=x")
    assert look == QrLook(format="png", size=64, dark="000080")
    assert qr_look_of_query(b"") == QrLook()
    assert qr_look_of_query(b"size=\xff\xd9\xa3") is None
    assert qr_look_of_query(b"&".join([b"a=1"] * 100)) is None
