"""Digests: their periods, what they count, and their mails."""

from datetime import UTC, date, datetime
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.jobs.schedule import Cron
from engine.stats import period
from engine.stats.dashboards.digest import (
    DUE,
    GROUPS,
    Cadence,
    Digest,
    DigestSettings,
    digest_of,
    digest_queries,
    validate_digest_settings,
)
from engine.stats.dashboards.digest_mail import digest_message
from engine.stats.result import LinkName, MetricValues, Stats, StatsRow

MONDAY = datetime(2026, 11, 30, 12, tzinfo=UTC)
FIRST = datetime(2026, 11, 1, 12, tzinfo=UTC)
CONSOLE = "https://console.example"


@pytest.mark.parametrize(
    ("cadence", "due", "tz", "days", "before"),
    [
        ("weekly", MONDAY, "Europe/Rome", ("2026-11-23", "2026-11-30"), "2026-11-16"),
        ("weekly", MONDAY, "Pacific/Kiritimati", ("2026-11-23", "2026-11-30"), "2026-11-16"),
        ("weekly", MONDAY, "Etc/GMT+12", ("2026-11-23", "2026-11-30"), "2026-11-16"),
        ("monthly", FIRST, "Europe/Rome", ("2026-10-01", "2026-11-01"), "2026-09-01"),
        ("monthly", FIRST, "Pacific/Kiritimati", ("2026-10-01", "2026-11-01"), "2026-09-01"),
        ("monthly", FIRST, "Etc/GMT+12", ("2026-10-01", "2026-11-01"), "2026-09-01"),
    ],
)
def test_a_digest_is_of_the_whole_period_before_its_due_time(
    cadence: Cadence, due: datetime, tz: str, days: tuple[str, str], before: str
) -> None:
    zone = period.zone(tz)
    queries = digest_queries(cadence, due, tz)
    assert len(queries) == 1 + len(GROUPS)
    for query in queries:
        local = query.start.astimezone(zone), query.end.astimezone(zone)
        assert tuple(moment.date().isoformat() for moment in local) == days
        assert {moment.hour for moment in local} == {0}
        assert query.comparison is not None
        assert query.comparison.start.astimezone(zone).date().isoformat() == before
        assert query.comparison.end == query.start
        assert query.comparison.alignment == "whole"


@given(
    st.datetimes(datetime(2024, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),
    st.sampled_from(sorted(period.zone_names())),
    st.sampled_from(list(DUE)),
)
def test_periods_are_over_when_due_and_follow_each_other_without_gap(
    now: datetime, tz: str, cadence: Cadence
) -> None:
    schedule = Cron(DUE[cadence])
    due = schedule.last_due(now)
    earlier = schedule.last_due(due - (due - due.replace(hour=11)))
    query, earlier_query = (digest_queries(cadence, at, tz)[0] for at in (due, earlier))
    assert query.end <= due
    assert earlier_query.end == query.start


def stats(clicks: int, before: int, rows: list[tuple[str, int, int]] | None = None) -> Stats:
    """Return an answer with its comparison, and rows of (value, clicks, clicks before)."""

    def made(total: int, values: list[tuple[str, int]]) -> Stats:
        return Stats(
            rows=tuple(StatsRow(time=None, clicks=n, views=0, values=(v,)) for v, n in values),
            as_of=None,
            totals=MetricValues(clicks=total, views=total, visitors=total),
            links={
                "7": LinkName("ada", "spring", ""),
                "8": LinkName("ada", "x", "<b>Ada & co</b>"),
            },
        )

    other = made(before, [(value, then) for value, _, then in rows or []])
    answer = made(clicks, [(value, now) for value, now, _ in rows or []])
    return Stats(
        rows=answer.rows, as_of=None, totals=answer.totals, links=answer.links, compared=other
    )


def digest(title: str = "Ada", cadence: Cadence = "weekly") -> Digest:
    due = {"weekly": MONDAY, "monthly": FIRST}[cadence]
    queries = digest_queries(cadence, due, "Europe/Rome")
    answers = [
        stats(1_234, 1_000),
        stats(0, 0, [("8", 700, 1_000), ("7", 500, 0), ("9", 30, 30), ("0", 0, 0)]),
        stats(0, 0, [("Instagram", 900, 800), ("", 300, 200)]),
        stats(0, 0, [("IT", 1_000, 0)]),
    ]
    return digest_of(cadence, ("ada", title), queries, answers)


def test_a_digest_names_its_groups_and_their_clicks_before() -> None:
    groups = digest().groups
    assert [tuple(group) for group in groups["link"]] == [
        ("8", "<b>Ada & co</b>", 700, 1_000),
        ("7", "/spring", 500, 0),
        ("9", "a deleted link", 30, 30),
    ]
    assert [group.label for group in groups["source"]] == ["Instagram", "not known"]


def test_a_mail_says_what_changed_and_how_to_end_it() -> None:
    message = digest_message(digest(), "ada@example.com", CONSOLE + "/", "id")
    assert message.subject == (
        "@ada: 1,234 clicks in the week from 23 November 2026 to 29 November 2026"
    )
    for text in (
        "Clicks             1,234  +23% (1,000 before)",
        "700  <b>Ada & co</b>, \N{MINUS SIGN}30% (1,000 before)",
        "500  /spring, none before",
        "30  a deleted link, as before",
        "by the clocks of Europe/Rome",
        "https://console.example/p/ada/settings",
    ):
        assert text in message.text, message.text
    assert message.unsubscribe_url == "https://console.example/p/ada/settings"
    monthly = digest_message(digest(cadence="monthly"), "ada@example.com", CONSOLE, "id")
    assert monthly.subject.endswith("in October 2026")


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.mark.parametrize(
    "title", ["<script>alert(1)</script>", "\"><img src=x onerror='x'>", "&lt;"]
)
def test_no_text_becomes_markup(title: str) -> None:
    parser = _Tags()
    parser.feed(digest_message(digest(title), "ada@example.com", CONSOLE, "id").html)
    assert not parser.tags & {"script", "img", "b"}
    assert parser.attributes <= {"lang", "charset", "style", "cellpadding", "align", "href"}


def test_settings_name_a_zone() -> None:
    assert validate_digest_settings(DigestSettings(weekly=True, tz="Europe/Rome"))[1] == []
    for bad in ("Europe/Nowhere", "", "Factory", "../etc/passwd"):
        (error,) = validate_digest_settings(DigestSettings(tz=bad))[1]
        assert error.field == "tz"
    assert date(2026, 11, 30).weekday() == 0
