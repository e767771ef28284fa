"""Parameters of stats queries, for the reference (engine/stats/query.py has their meaning)."""

from typing import Annotated, Final, Literal

import msgspec

from api.http.routes import Parameter
from engine.clicks.dimension import BY_NAME
from engine.stats.query import ORDERS
from engine.stats.query_parser import FILLS, MAX_LIMIT, SEARCHABLE, WEEKDAYS
from engine.stats.result import TimeInterval

_DIMENSIONS: Final = ", ".join(BY_NAME)
_GROUP: Final = "^(time|[a-z_]+)(,(time|[a-z_]+))?$"
PERIOD: Final = (
    Parameter(
        "from",
        "The start: an instant, or a local date or time in `tz`; 30 days ago if left out.",
        example="2026-05-01",
    ),
    Parameter("to", "The end, exclusive; now if left out.", example="2026-06-01"),
    Parameter("tz", "An IANA zone; `UTC` if left out.", example="Europe/Rome"),
)
# The filters that may be repeated; then all must hold.
FILTERS: Final = (
    *(
        Parameter(
            f"filter[{name}]",
            f"Only these values of {name}, with commas between; empty: not known.",
            list[str],
        )
        for name in BY_NAME
    ),
    *(
        Parameter(
            f"filter[{name}][not]",
            f"All but these values of {name}. In short: `filter[{name}]!=`.",
            list[str],
        )
        for name in BY_NAME
    ),
    *(
        Parameter(
            f"filter[{name}][contains]",
            f"Only a {name} that contains one of these. In short: `filter[{name}]~=`.",
            list[str],
        )
        for name, dimension in BY_NAME.items()
        if dimension in SEARCHABLE
    ),
)
QUERY: Final = (
    *PERIOD,
    Parameter(
        "period",
        "Instead of `from` and `to`: `7d`, `28d` or another number of days that end with today, `day`, `week`, "
        "`month`, `quarter` or `year` for the present one, or `all`.",
        Annotated[
            str, msgspec.Meta(pattern="^([1-9][0-9]{0,3}d|day|week|month|quarter|year|all)$")
        ],
        "28d",
    ),
    Parameter(
        "interval",
        "The length of a row's interval, by the clocks of `tz`; `day` if left out, `month` of `period=all`.",
        TimeInterval,
        "day",
    ),
    Parameter(
        "week_start",
        "The weekday with which weeks begin; `monday` if left out.",
        Literal[WEEKDAYS],
        "sunday",
    ),
    Parameter(
        "group",
        f"How rows are grouped: by `time`, if left out, or by up to two of `time`, {_DIMENSIONS}; or by "
        "`hour_of_week`. Two dimensions other than `link` are counted click by click, as far as clicks are "
        "kept.",
        Annotated[str, msgspec.Meta(pattern=_GROUP)],
        "country",
    ),
    Parameter(
        "metrics",
        "A list with commas of `clicks`, `visitors`, `views` (or `page_views`), `click_rate`, `bots`, "
        "`conversions`, `revenue`, `conversion_rate`. If left out, the first five; for intervals of an hour or "
        "less, without `visitors`. Own events are counted alone: `events`, `visitors`, which are also the "
        "metrics if rows are grouped or filtered by `event` or `property`.",
        example="clicks,conversions,revenue",
    ),
    Parameter(
        "link",
        "Ids of links, with commas between, or `0` for the page; all links and the page if left out.",
        Annotated[str, msgspec.Meta(pattern="^(0|[1-9][0-9]{0,18})(,(0|[1-9][0-9]{0,18}))*$")],
    ),
    *FILTERS,
    Parameter(
        "compare",
        "A period to add, of the same groups: `previous`, the one before; `year`, the same a year earlier; or "
        "any other, as `2026-03-01..2026-04-01`. A running period is compared with the same part.",
        example="previous",
    ),
    Parameter(
        "fill",
        "By time, whether each interval has a row (`zero`, if left out) or those with counts (`none`).",
        Literal[FILLS],
        "zero",
    ),
    Parameter(
        "order",
        f"The order of groups: {', '.join(ORDERS)}, with `-` from the highest; `-clicks`, or "
        "`-events`, if left out. By `conversions`, groups without any are left out.",
        example="-clicks",
    ),
    Parameter(
        "limit",
        "The largest number of groups; if left out, 100, or 10 for groups by time.",
        Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)],
        10,
    ),
    Parameter("cursor", "The `next_cursor` of the answer before: the groups behind it."),
)
SHOW_ANNOTATIONS: Final = Parameter(
    "annotations",
    "`1`: the answer has the annotations of the period. Not for shares.",
    Literal["0", "1"],
)
