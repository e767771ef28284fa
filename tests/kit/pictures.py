"""Pictures that members might upload: good ones, and such as try what a decoder does."""

import io
import struct
import zlib
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

HEIC = Path(__file__).parents[1] / "storage" / "assets" / "files" / "small.heic"
GPS_IFD = 0x8825


def scene(width: int = 96, height: int = 64, mode: str = "RGB") -> Image.Image:
    """Return a picture whose left top is red, and whose other parts differ."""
    ramp = Image.linear_gradient("L").resize((width, height))
    picture = Image.merge("RGB", (ramp, ramp.transpose(Image.Transpose.ROTATE_180), ramp))
    picture.paste((255, 0, 0), (0, 0, width // 2, height // 2))
    return picture.convert(mode)


def encoded(picture: Image.Image, format_: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format_, **options)
    return file.getvalue()


@cache
def good(format_: str) -> bytes:
    """Return a whole picture of 96 x 64 pixels."""
    return HEIC.read_bytes() if format_ == "HEIF" else encoded(scene(), format_)


def photo_with_secrets() -> bytes:
    """Return a JPEG that lies on its side, with a place, a comment, a colour profile and a tail."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    exif[0x010F] = "SECRETCAMERA"
    exif.get_ifd(GPS_IFD)[2] = (52.0, 31.0, 12.5)
    exif.get_ifd(GPS_IFD)[0x1D] = "SECRETDATE"
    return (
        encoded(
            scene(),
            "JPEG",
            exif=exif,
            comment=b"SECRETCOMMENT",
            quality=95,
            xmp=b"<x>SECRETXMP</x>",
        )
        + b"SECRETTAIL<script>"
    )


def png_of_size(width: int, height: int) -> bytes:
    """Return a PNG that says it is as large, with the bytes of a bomb: they decode to zeros for ever."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(4 << 20), 9) * 4
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def animation(frames: int, width: int = 64, height: int = 64) -> bytes:
    pictures = [scene(width, height).rotate(90 * (at % 4)) for at in range(frames)]
    return encoded(pictures[0], "GIF", save_all=True, append_images=pictures[1:])


SVG = (
    b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
)
HTML = b"<!doctype html><script>alert(1)</script>"
ZIP = b"PK\x03\x04" + bytes(60)
NO_PICTURES = {
    "empty": b"", "text": b"hello", "svg": SVG, "html": HTML, "zip": ZIP, "pdf": b"%PDF-1.7\n%" + bytes(64),
    "zeros": bytes(1000), "tiff": encoded(scene(), "TIFF"), "bmp": encoded(scene(), "BMP"),
    "jpeg head only": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", "html behind a gif's head": b"GIF89a" + HTML,
    "ico": encoded(scene(32, 32), "ICO"), "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
}  # fmt: skip
