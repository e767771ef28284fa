"""QR codes with a logo in the middle, which a reader takes for damage and corrects.

The code has the level of error correction `h`, whatever the request says: about 30 % of a code may be lost. The
logo stands on a square of the light colour of at most MAX_SHARE of the code's side, 6 % of its area, so there
is more left for dirt and bad light than a code of the level `m` has without a logo.
"""

import base64
import io
from typing import Final

import segno
from PIL import Image

from engine.links.codes.qr import QrLook, code_of, drawn

LEVEL: Final = "h"
MAX_SHARE: Final = 0.25
_MARGIN: Final = 0.5  # modules between the logo and the square's edge
_SVG_PIXELS: Final = 320  # of the longer side of a logo in an SVG


def logo_pixels(look: QrLook) -> int:
    """Return how many pixels a logo's longer side has at most in an image of this look."""
    return _SVG_PIXELS if look.format == "svg" else int(look.size * MAX_SHARE)


def qr_image_with_logo(address: str, look: QrLook, logo: bytes) -> bytes:
    """Return the image of a code of a link's or page's URL, with `logo`, a WebP file, in its middle.

    Takes about 30 ms. Raises ValueError for a URL that is too long for a code of the level `h`.
    """
    code = code_of(address, LEVEL)
    if code is None:
        raise ValueError("the URL is too long for a QR code with a logo")
    with Image.open(io.BytesIO(logo), formats=("WEBP",)) as file:
        picture = file.convert("RGBA")
    square = _square_modules(code)
    image = drawn(code, look)
    if look.format == "png":
        return _on_png(image, code, look, square, picture)
    return _on_svg(image, code, look, square, picture)


def _square_modules(code: segno.QRCode) -> int:
    """Return the side of the logo's square: an odd number of modules, as the code has."""
    side = int(code.symbol_size(border=0)[0] * MAX_SHARE)
    return side if side % 2 else side - 1


def _fitted(picture: Image.Image, room: float) -> Image.Image:
    """Return the picture in the largest size in which neither side has more pixels than `room`."""
    scale = room / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _on_png(
    image: bytes, code: segno.QRCode, look: QrLook, square: int, picture: Image.Image
) -> bytes:
    with Image.open(io.BytesIO(image)) as file:
        canvas = file.convert("RGB")
    module = canvas.width // int(code.symbol_size()[0])
    ground = Image.new("RGB", (square * module, square * module), f"#{look.light}")
    logo = _fitted(picture, (square - 2 * _MARGIN) * module)
    left, top = ((ground.width - side) // 2 for side in logo.size)
    ground.paste(logo, (left, top), logo)
    corner = (canvas.width - ground.width) // 2
    canvas.paste(ground, (corner, corner))
    output = io.BytesIO()
    canvas.save(output, "PNG", optimize=True)
    return output.getvalue()


def _on_svg(
    image: bytes, code: segno.QRCode, look: QrLook, square: int, picture: Image.Image
) -> bytes:
    module = look.size / code.symbol_size()[0]
    file = io.BytesIO()
    _fitted(picture, min(_SVG_PIXELS, max(picture.size))).save(file, "PNG", optimize=True)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    corner, side = (look.size - square * module) / 2, square * module
    inner_corner, inner_side = corner + _MARGIN * module, side - 2 * _MARGIN * module
    logo = (
        f'<rect x="{corner:.3f}" y="{corner:.3f}" width="{side:.3f}" height="{side:.3f}" '
        f'fill="#{look.light}"/><image x="{inner_corner:.3f}" y="{inner_corner:.3f}" '
        f'width="{inner_side:.3f}" height="{inner_side:.3f}" href="data:image/png;base64,{data}"/></svg>'
    )
    return image.rstrip().removesuffix(b"</svg>") + logo.encode("ascii")
