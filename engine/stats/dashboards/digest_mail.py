"""A digest as mail: plain text, and simple HTML with every text escaped."""

from collections.abc import Iterator
from datetime import date, timedelta
from html import escape
from typing import Final

from engine.mail.message import MailMessage
from engine.stats.dashboards.digest import GROUPS, INTERVALS, Digest, DigestGroup

_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
_HEADINGS: Final = {"link": "Links", "source": "Sources", "country": "Countries"}
assert tuple(_HEADINGS) == GROUPS
_LABEL_CHARS: Final = 48


def digest_message(digest: Digest, to: str, console_url: str, message_id: str) -> MailMessage:
    """Return the mail of a digest. `console_url` has the page on which the member turns it off."""
    settings_url = f"{console_url.rstrip('/')}/p/{digest.handle}/settings"
    return MailMessage(
        to=to,
        subject=f"@{digest.handle}: {_clicks(digest.totals.clicks)} in {_period(digest)}",
        text=_text(digest, settings_url),
        html=_html(digest, settings_url),
        message_id=message_id,
        unsubscribe_url=settings_url,
    )


def _clicks(number: int) -> str:
    return "1 click" if number == 1 else f"{number:,} clicks"


def _day(day: date) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def _period(digest: Digest) -> str:
    first, last = digest.start.date(), digest.end.date() - timedelta(days=1)
    if digest.cadence == "monthly":
        return f"{_MONTHS[first.month - 1]} {first.year}"
    return f"the week from {_day(first)} to {_day(last)}"


def _change(now: int, before: int) -> str:
    """Return the change against the period before, in words for a reader."""
    if now == before:
        return "as before"
    if before == 0:
        return "none before"
    return f"{(now - before) / before:+.0%} ({before:,} before)".replace("-", "\N{MINUS SIGN}")


def _lines(digest: Digest) -> Iterator[tuple[str, int, str]]:
    """Yield each total: its name, value and change."""
    for name, label in (("clicks", "Clicks"), ("visitors", "Visitors"), ("views", "Page views")):
        now, before = getattr(digest.totals, name), getattr(digest.before, name)
        yield label, now, _change(now, before)


def _title(digest: Digest) -> str:
    return f"{digest.title} (@{digest.handle})" if digest.title else f"@{digest.handle}"


def _ending(digest: Digest) -> str:
    interval = INTERVALS[digest.cadence]
    return (
        f"You asked for this mail each {interval}. To end it, turn the {digest.cadence} digest off:"
    )


def _text(digest: Digest, settings_url: str) -> str:
    lines = [_title(digest), f"{_period(digest)}, by the clocks of {digest.tz}", ""]
    lines += [f"{name:<12}{value:>12,}  {change}" for name, value, change in _lines(digest)]
    for name, heading in _HEADINGS.items():
        groups = digest.groups[name]
        if groups:
            lines += ["", heading]
            lines += [f"  {group.clicks:>10,}  {_shown(group)}" for group in groups]
    return "\n".join([*lines, "", _ending(digest), settings_url, ""])


def _shown(group: DigestGroup) -> str:
    return f"{group.label[:_LABEL_CHARS]}, {_change(group.clicks, group.before)}"


def _html(digest: Digest, settings_url: str) -> str:
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Digest</title>',
        '<body style="font-family:sans-serif">',
        f"<h1><bdi>{escape(_title(digest))}</bdi></h1>",
        f"<p>{escape(_period(digest))}, by the clocks of {escape(digest.tz)}</p>",
        _table([(name, f"{value:,}", change) for name, value, change in _lines(digest)]),
    ]
    for name, heading in _HEADINGS.items():
        groups = digest.groups[name]
        if groups:
            rows = [(g.label, f"{g.clicks:,}", _change(g.clicks, g.before)) for g in groups]
            parts += [f"<h2>{heading}</h2>", _table(rows)]
    link = f'<a href="{escape(settings_url)}">{escape(settings_url)}</a>'
    parts += [f"<p>{escape(_ending(digest))} {link}</p></body></html>"]
    return "\n".join(parts)


def _table(rows: list[tuple[str, str, str]]) -> str:
    cells = (
        f'<tr><th align="left"><bdi>{escape(label)}</bdi></th><td align="right">{escape(value)}</td>'
        f"<td>{escape(change)}</td></tr>"
        for label, value, change in rows
    )
    return f'<table cellpadding="4">{"".join(cells)}</table>'
