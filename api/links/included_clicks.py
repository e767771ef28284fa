"""Parameters `include` and `period`: clicks of links in responses that show links."""

from datetime import datetime, timedelta
from typing import Final

import msgspec

from api.http.bodies import utc
from api.http.routes import Parameter
from api.links.link_responses import LinkResponse
from engine.common.errors import FieldError
from engine.links.link import Link
from engine.links.link_clicks import FIRST_DAY, NO_CLICKS, ClickPeriod
from engine.stats.parameters.named_period import ALL, named_period
from engine.stats.period import zone

DEFAULT_PERIOD: Final = "30d"
INCLUDABLE: Final = ("clicks", "last_click")
NAMES: Final = ("include", "period")
PARAMETERS: Final = (
    Parameter(
        "include",
        "`clicks`, `last_click` or both with a comma between: show them of the period.",
        str,
        "clicks,last_click",
    ),
    Parameter(
        "period",
        "UTC days that end today, as in stats: `7d`, `month` and the like; `30d` if left out. `all`: a link's "
        "total, which is its opening clicks and those since its counts were reset.",
        str,
        "7d",
    ),
)


class IncludedClicks(msgspec.Struct, frozen=True):
    """Wishes of a request: the fields to include, and the period, None if nothing needs it."""

    fields: frozenset[str]
    period: ClickPeriod | None

    def add_to(self, response: LinkResponse, link: Link) -> LinkResponse:
        """Return the response with the fields."""
        clicks, last = link.clicks or NO_CLICKS, None
        if clicks.last_click is not None:
            last = utc(clicks.last_click)
        values = {"clicks": clicks.clicks, "last_click": last}
        return msgspec.structs.replace(response, **{name: values[name] for name in self.fields})

    def tag_suffix(self, link: Link) -> str:
        """Return the suffix of the link's entity tag."""
        clicks = link.clicks or NO_CLICKS
        return f"c{clicks.clicks}-{clicks.last_click}" if self.fields else ""


def click_period(name: str, now: datetime) -> ClickPeriod:
    """Return the period of a name, such as `7d` or `all`, that ends today in UTC. Raises ValueError."""
    start, end = named_period(name, zone("UTC"), now, week_start=0, first_day=FIRST_DAY)
    last = (end - timedelta(minutes=15)).date()
    return ClickPeriod(start.date(), last, name == ALL)


def included_clicks(
    given: dict[str, str], errors: list[FieldError], now: datetime, *, needed: bool = False
) -> IncludedClicks:
    """Return the wishes of a query's parameters; with `needed` there is a period. Adds errors to `errors`."""
    fields = frozenset(filter(None, given.get("include", "").split(",")))
    if not fields <= set(INCLUDABLE) or given.get("include") == "":
        errors.append(FieldError("include", f"must be of {', '.join(INCLUDABLE)}"))
        fields = frozenset()
    period = None
    try:
        period = click_period(given.get("period", DEFAULT_PERIOD), now)
    except ValueError as error:
        errors.append(FieldError("period", str(error)))
    return IncludedClicks(fields, period if fields or needed else None)
