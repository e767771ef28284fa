"""Pictures of a page: which assets it names, and what the renderer needs of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from engine.assets.asset import Rendition
from engine.common.errors import FieldError
from engine.pages.html.sources import PagePicture
from engine.pages.page import ProfilePage

_RENDITIONS: Final = msgspec.json.Decoder(list[Rendition])
_PICTURES: Final = msgspec.json.Decoder(dict[str, PagePicture])


def asset_fields(page: ProfilePage) -> Iterator[tuple[str, str]]:
    """Yield (path, id of an asset) of each field of a page that names one."""
    fields = [("picture", page.picture), ("sharing.picture", page.sharing.picture)]
    for number, block in enumerate(page.blocks):
        fields.append((f"blocks[{number}].picture", getattr(block, "picture", "")))
        fields += [
            (f"blocks[{number}].pictures[{place}].picture", picture.picture)
            for place, picture in enumerate(getattr(block, "pictures", ()))
        ]
    for number, translation in enumerate(page.translations):
        fields += [
            (f"translations[{number}].blocks[{place}].picture", change.picture or "")
            for place, change in enumerate(translation.blocks)
        ]
    return ((path, asset_id) for path, asset_id in fields if asset_id)


def asset_ids(page: ProfilePage) -> set[int]:
    """Return the ids of the assets that a page names; those that are no numbers are no asset's."""
    return {int(id_) for _, id_ in asset_fields(page) if id_.isascii() and id_.isdecimal()}


def unknown_assets(page: ProfilePage, known: Iterable[int]) -> list[FieldError]:
    """Return an error for each field that names an asset which is none of `known`."""
    ids = {str(id_) for id_ in known}
    reason = "must be the id of an asset of this profile"
    return [FieldError(path, reason) for path, id_ in asset_fields(page) if id_ not in ids]


def page_picture_of(
    hash_: str, width: int, height: int, renditions: Sequence[Rendition]
) -> PagePicture:
    """Return what the renderer needs of a picture: the widths and formats in which all of it is there."""
    formats = list(dict.fromkeys(rendition.format for rendition in renditions))
    by_width: dict[int, set[str]] = {}
    for rendition in renditions:
        by_width.setdefault(rendition.width, set()).add(rendition.format)
    widths = tuple(sorted(each for each, made in by_width.items() if made == set(formats)))
    return PagePicture(
        hash=hash_, width=width, height=height, widths=widths, formats=tuple(formats)
    )


def pictures_of(rows: Iterable[Any]) -> dict[str, PagePicture]:
    """Return pictures by id of rows with id, hash, width, height and, as JSON, renditions."""
    return {
        str(row["id"]): page_picture_of(
            row["hash"], row["width"], row["height"], _RENDITIONS.decode(row["renditions"])
        )
        for row in rows
    }


def encode_pictures(pictures: Mapping[str, PagePicture]) -> bytes:
    """Return pictures by id as JSON, which decode_pictures() reads."""
    return msgspec.json.encode(pictures)


def decode_pictures(text: bytes | str) -> dict[str, PagePicture]:
    return _PICTURES.decode(text)
