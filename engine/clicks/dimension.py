"""Dimensions, by which clicks are counted. Numbers are stored, names are those of the API."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final, NamedTuple


class Dimension(IntEnum):
    """TOTAL is everything; LINK exists for a whole profile only, EVENT and PROPERTY for own events."""

    TOTAL = 0
    COUNTRY = 1
    REGION = 2
    CITY = 3
    CONTINENT = 4
    BROWSER = 5
    OS = 6
    DEVICE = 7
    REFERRER = 8
    SOURCE = 9
    UTM_SOURCE = 10
    UTM_MEDIUM = 11
    UTM_CAMPAIGN = 12
    UTM_TERM = 13
    UTM_CONTENT = 14
    LANGUAGE = 15
    VARIANT = 16
    DOMAIN = 17
    TRIGGER = 18
    KIND = 19
    LINK = 20
    EVENT = 21
    PROPERTY = 22


# Values of a time bucket that have rows of their own: of most dimensions, and of those that are open-ended.
MAX_VALUES: Final = 200
MAX_VALUES_OPEN_ENDED: Final = 100
_OPEN: Final = MAX_VALUES_OPEN_ENDED


class DimensionSpec(NamedTuple):
    """The special facts of a dimension. The order of SPECS is that of columns in an export of clicks.

    `column`: the text column of `clicks` that holds its values; None where other columns tell them.
    `cap`: values that have rows of their own in a time bucket of a profile; None where visitors cannot invent
    values. `searchable`: whether filters may ask for values that contain a text. `live`: whether live updates
    tell it of each click.
    """

    column: str | None
    cap: int | None = MAX_VALUES
    searchable: bool = False
    live: bool = False


SPECS: Final[Mapping[Dimension, DimensionSpec]] = {
    Dimension.TOTAL: DimensionSpec(None, cap=None),
    Dimension.CONTINENT: DimensionSpec("continent"),
    Dimension.COUNTRY: DimensionSpec("country", live=True),
    Dimension.REGION: DimensionSpec("region", searchable=True),
    Dimension.CITY: DimensionSpec("city", _OPEN, searchable=True, live=True),
    Dimension.BROWSER: DimensionSpec("browser", searchable=True, live=True),
    Dimension.OS: DimensionSpec("os", searchable=True),
    Dimension.DEVICE: DimensionSpec("device", cap=None, live=True),
    Dimension.REFERRER: DimensionSpec("referrer_host", _OPEN, searchable=True, live=True),
    Dimension.SOURCE: DimensionSpec("source", searchable=True, live=True),
    Dimension.UTM_SOURCE: DimensionSpec("utm_source", _OPEN, searchable=True),
    Dimension.UTM_MEDIUM: DimensionSpec("utm_medium", _OPEN, searchable=True),
    Dimension.UTM_CAMPAIGN: DimensionSpec("utm_campaign", _OPEN, searchable=True),
    Dimension.UTM_TERM: DimensionSpec("utm_term", _OPEN, searchable=True),
    Dimension.UTM_CONTENT: DimensionSpec("utm_content", _OPEN, searchable=True),
    Dimension.LANGUAGE: DimensionSpec("locale"),
    Dimension.DOMAIN: DimensionSpec("domain", _OPEN, searchable=True),
    Dimension.TRIGGER: DimensionSpec(None, cap=None, live=True),
    Dimension.KIND: DimensionSpec(None, cap=None, live=True),
    Dimension.VARIANT: DimensionSpec(None),
    Dimension.LINK: DimensionSpec(None, cap=None),
    Dimension.EVENT: DimensionSpec(None, cap=None, searchable=True),
    Dimension.PROPERTY: DimensionSpec(None, cap=None, searchable=True),
}
# Those of own events, which are counted from packed records alone: no table has them.
EVENT_DIMENSIONS: Final = frozenset((Dimension.EVENT, Dimension.PROPERTY))
# Those of which a record may have several values.
MULTIVALUED: Final = frozenset((Dimension.VARIANT, Dimension.PROPERTY))
# Dimensions by the text column of `clicks` that holds their values.
TEXT_COLUMNS: Final[Mapping[str, Dimension]] = {
    spec.column: dimension for dimension, spec in SPECS.items() if spec.column is not None
}

ALL_LINKS: Final = -1  # the link of rollups that are of the whole profile; 0 is its page
OTHER: Final = "(other)"  # values beyond the cap of a bucket, together
BY_NAME: Final = {
    dimension.name.lower(): dimension for dimension in Dimension if dimension is not Dimension.TOTAL
}
