"""Questions of a dashboard about a profile, as parameters of the API."""

from datetime import date, datetime, timedelta
from typing import Any, NamedTuple


class Question(NamedTuple):
    name: str
    parameters: dict[str, str]


def questions(today: date) -> list[Question]:
    year = {"from": str(today - timedelta(days=364)), "to": str(today + timedelta(days=1))}
    month = {"from": str(today - timedelta(days=29)), "to": str(today + timedelta(days=1))}
    week = {"from": str(today - timedelta(days=6)), "to": str(today + timedelta(days=1))}
    rome = {"tz": "Europe/Rome"}
    return [
        Question("totals of a year", year | {"group": "trigger"}),
        Question("a year by day", year),
        Question("a year by day in Rome", year | rome),
        Question("a month by day in Rome", month | rome),
        Question("a week by hour in Rome", week | rome | {"interval": "hour"}),
        Question("a year by month in Kathmandu", year | {"tz": "Asia/Kathmandu", "interval": "month"}),
        Question("top links of a year", year | {"group": "link", "limit": "10"}),
        Question("top countries of a year in Rome", year | rome | {"group": "country", "limit": "10"}),
        Question("top cities of a month in Rome", month | rome | {"group": "city", "limit": "10"}),
        Question("top referrers of a year in Rome", year | rome | {"group": "referrer", "limit": "10"}),
        Question("devices of a month in Rome", month | rome | {"group": "device"}),
        Question("sources of a year in Rome", year | rome | {"group": "source"}),
        Question("a month by day in Rome, of a country", month | rome | {"filter[country]": "AD"}),
        Question("a month by day in Rome and source", month | rome | {"group": "time,source"}),
        Question("a year by week in Rome and source",
                 year | rome | {"group": "time,source", "interval": "week"}),
        Question("a month by day in Rome, and the one before", month | rome | {"compare": "previous"}),
        Question("referrers that contain a text, of a month",
                 month | {"group": "referrer", "filter[referrer]~": "er 1", "limit": "10"}),
        Question("countries of one link, of a month in Rome",
                 month | rome | {"group": "country", "link": "LINK", "limit": "10"}),
    ]  # fmt: skip


def page() -> dict[str, Any]:
    """Return the body of a batch: the questions of a dashboard's page about the last 28 days."""
    period = {"period": "28d", "tz": "Europe/Rome"}
    groups = ["link", "country", "source", "referrer", "device", "browser", "utm_campaign"]
    return {
        "questions": [
            period | {"compare": "previous"},
            period | {"group": "time,source", "limit": 5},
            period | {"group": "hour_of_week"},
            *(period | {"group": group, "limit": 10} for group in groups),
        ],
        "visitors_now": True,
        "latest_clicks": 10,
    }


def crossings(now: datetime, clicks_per_day: float, raw_clicks: int) -> list[Question]:
    """Return questions that cross two dimensions, in periods of about so many raw clicks.

    The last days of the history have more clicks than its mean, and the API bounds raw clicks of a question by
    500,000, on whole days.
    """
    queries = []
    for clicks in (10_000, 100_000, 200_000, 400_000):
        if clicks < raw_clicks:
            start = now - timedelta(days=clicks / clicks_per_day)
            period = {"from": start.strftime("%Y-%m-%dT%H:%M:%SZ"), "metrics": "clicks,visitors"}
            by_country = period | {"group": "country,device"}
            by_browser = period | {"group": "browser", "filter[country]": "AD"}
            queries.append(Question(f"countries and devices of {clicks} clicks", by_country))
            queries.append(Question(f"browsers in a country, of {clicks} clicks", by_browser))
    return queries
