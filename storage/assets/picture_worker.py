"""The process that decodes one upload and encodes its renditions: `python -m storage.assets.picture_worker`.

It reads the upload from descriptor 0 and writes to descriptor 1 a line of JSON, then the files' bytes in their
order. The line's `result` is `decoded`, with `source`, `width`, `height` and `renditions`, or `refused` or
`exhausted`, with a `reason` for the member. Its one argument is the JSON of a `Task`. It imports first, as
little as it can, and is confined then (storage/assets/confinement.py), so it can decode, and nothing else;
where it dies, nothing else does.

Guarantees for what it writes: pixels only, encoded anew. No metadata of the upload (EXIF, XMP, comments, colour
profiles, thumbnails, trailing bytes) reaches a rendition: the orientation is applied, colours are converted to
sRGB, and of an animation the first frame is kept.
"""

import io
import json
import os
import sys
from typing import BinaryIO, Final, NamedTuple

import pi_heif
from PIL import AvifImagePlugin as AvifImagePlugin  # each plugin now: later, no file can be opened
from PIL import GifImagePlugin as GifImagePlugin
from PIL import Image, ImageCms, ImageFile, ImageOps
from PIL import JpegImagePlugin as JpegImagePlugin
from PIL import MpoImagePlugin as MpoImagePlugin
from PIL import PngImagePlugin as PngImagePlugin
from PIL import WebPImagePlugin as WebPImagePlugin

from storage.assets.confinement import Limits, confine

_FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIF")
_SOURCES: Final = {"MPO": "jpeg"} | {name: name.lower() for name in _FORMATS}
_SVG_SIGNS: Final = (b"<svg", b"<!DOCTYPE svg", b"<!doctype svg")
_NO_PICTURE: Final = "is no picture that can be read; send JPEG, PNG, WebP, GIF, AVIF or HEIC"
_SVG: Final = "is SVG, which can contain scripts; export it as PNG or WebP"
_BROKEN: Final = "is damaged or cut short; export it again"
_TOO_LARGE: Final = "takes too much memory to decode; make it smaller"
_MAX_PROFILE_BYTES: Final = 1024 * 1024
_WHITE: Final = (255, 255, 255)
_SAVE: Final = {
    "avif": {"format": "AVIF", "quality": 60, "speed": 6, "max_threads": 1},
    "webp": {"format": "WEBP", "quality": 78, "method": 4},
    "jpg": {"format": "JPEG", "quality": 80, "progressive": True, "optimize": True},
}


class Task(NamedTuple):
    """The renditions to make of the upload, and the limits for it."""

    widths: list[int]
    max_pixels: int
    max_ratio: int
    memory_bytes: int
    cpu_s: int
    file_bytes: int


class NoPictureError(Exception):
    """An upload that is no picture, or none that is taken. `str` is the reason for the member."""


def main() -> int:
    task = Task(**json.loads(sys.argv[1]))
    srgb = prepare()
    source, target = os.fdopen(0, "rb", closefd=False), os.fdopen(1, "wb", closefd=False)
    confine(Limits(task.memory_bytes, task.cpu_s, task.file_bytes))
    line, files = decoded(source, task, srgb)
    target.write(json.dumps(line).encode() + b"\n")
    for file in files:
        target.write(file)
    target.flush()
    return 0


def prepare() -> object:
    """Set up the decoders, which must be loaded before confine(). Returns the profile of sRGB."""
    Image.preinit()
    pi_heif.register_heif_opener(thumbnails=False, decode_threads=1)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # more would take system calls
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    Image.MAX_IMAGE_PIXELS = None  # _require_size() has the bound, with a reason
    return ImageCms.createProfile("sRGB")


def decoded(source: BinaryIO, task: Task, srgb: object) -> tuple[dict[str, object], list[bytes]]:
    """Return the line and the files of an upload, whatever it is."""
    try:
        return _pictures_of(source, task, srgb)
    except NoPictureError as error:
        return {"result": "refused", "reason": str(error)}, []
    except MemoryError:
        return {"result": "exhausted", "reason": _TOO_LARGE}, []


def _pictures_of(
    source: BinaryIO, task: Task, srgb: object
) -> tuple[dict[str, object], list[bytes]]:
    """Return the line and the files of an upload. Raises NoPictureError."""
    opened = _open(source)
    kind = _SOURCES[str(opened.format)]
    _require_size(opened, task)
    largest = max(task.widths)
    try:
        opened.draft("RGB", (2 * largest, 2 * largest * task.max_ratio))
        picture = _shrunk(ImageOps.exif_transpose(opened), largest)
        picture = _plain(picture, srgb)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise whatever they meet
        raise NoPictureError(_BROKEN) from error
    renditions, files = [], []
    for width in sorted({min(width, picture.width) for width in task.widths}):
        sized = _shrunk(picture, width)
        for name, options in _SAVE.items():
            file = _encoded(sized, options)
            files.append(file)
            renditions.append(
                {"width": sized.width, "height": sized.height, "format": name, "bytes": len(file)}
            )
    return {
        "result": "decoded",
        "source": kind,
        "width": picture.width,
        "height": picture.height,
        "renditions": renditions,
    }, files


def _open(source: BinaryIO) -> Image.Image:
    """Return the upload's picture, its head read only. Raises NoPictureError."""
    start = source.read(4096)
    source.seek(0)
    try:
        return Image.open(source, formats=_FORMATS)
    except Exception as error:
        reason = _SVG if any(sign in start for sign in _SVG_SIGNS) else _NO_PICTURE
        raise NoPictureError(reason) from error


def _require_size(picture: Image.Image, task: Task) -> None:
    width, height = picture.size
    if width < 1 or height < 1:
        raise NoPictureError(_BROKEN)
    if width * height > task.max_pixels:
        raise NoPictureError(
            f"has {width:,} x {height:,} pixels; at most {task.max_pixels // 1_000_000} million are taken"
        )
    if max(width, height) > task.max_ratio * min(width, height):
        raise NoPictureError(f"must not be more than {task.max_ratio} times as long as it is wide")


def _shrunk(picture: Image.Image, width: int) -> Image.Image:
    """Return the picture at most `width` wide."""
    if picture.width <= width:
        return picture
    height = max(1, round(picture.height * width / picture.width))
    if picture.mode in ("P", "1", "PA"):  # their values are no amounts of light
        picture = picture.convert("RGBA")
    elif picture.mode.startswith("I"):
        picture = _eight_bits(picture)
    return picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)


def _plain(picture: Image.Image, srgb: object) -> Image.Image:
    """Return a picture in RGB, or RGBA where anything is transparent, in sRGB and without metadata."""
    profile = picture.info.get("icc_profile")
    if picture.mode.startswith("I"):
        picture = _eight_bits(picture)
    if picture.mode == "CMYK" and (converted := _to_srgb(picture, profile, srgb)) is not None:
        picture = converted
    elif picture.mode not in ("RGB", "RGBA"):
        transparent = picture.has_transparency_data
        picture = picture.convert("RGBA" if transparent else "RGB")
    alpha = picture.getchannel("A") if picture.mode == "RGBA" else None
    colours = picture.convert("RGB") if alpha is not None else picture
    if profile:
        colours = _to_srgb(colours, profile, srgb) or colours
    colours = colours.copy()
    if alpha is not None and alpha.getextrema() != (255, 255):
        colours.putalpha(alpha)
    colours.info.clear()
    return colours


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Return a picture of 16 or 32 bits of grey with 8 bits."""
    return picture.convert("I").point([value / 257 for value in range(65_536)], "L")


def _to_srgb(picture: Image.Image, profile: object, srgb: object) -> Image.Image | None:
    """Return the picture in sRGB; None if its profile is missing, broken or of other colours."""
    if not isinstance(profile, bytes) or len(profile) > _MAX_PROFILE_BYTES:
        return None
    try:
        of_picture = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(picture, of_picture, srgb, outputMode="RGB")  # type: ignore[arg-type]
    except MemoryError:
        raise
    except Exception:  # LittleCMS wrapped in several kinds of errors
        return None


def _encoded(picture: Image.Image, options: dict[str, object]) -> bytes:
    if options["format"] == "JPEG" and picture.mode == "RGBA":
        paper = Image.new("RGB", picture.size, _WHITE)
        paper.paste(picture, mask=picture.getchannel("A"))
        picture = paper
    file = io.BytesIO()
    picture.save(file, **options)  # type: ignore[arg-type]
    return file.getvalue()


if __name__ == "__main__":
    sys.exit(main())
