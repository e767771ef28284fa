"""Dimensions: what clicks are counted by. Numbers are stored, names are what the API says."""

from enum import IntEnum
from typing import Final


class Dimension(IntEnum):
    """TOTAL is everything; LINK exists for a whole profile only."""

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


ALL_LINKS: Final = -1  # the link of rollups that are of the whole profile; 0 is its page
OTHER: Final = "(other)"  # values beyond the cap of a bucket, together
BY_NAME: Final = {one.name.lower(): one for one in Dimension if one is not Dimension.TOTAL}
