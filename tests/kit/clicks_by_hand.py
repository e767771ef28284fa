"""Clicks of links in a period, counted by hand."""

from datetime import UTC, datetime

from engine.clicks.click import COUNTED_CLASSES, Click, ClickKind
from engine.links.link_clicks import ClickPeriod, ClicksOfLinks, LinkClickCounts


def by_hand(clicks: list[Click], period: ClickPeriod, links: list[int] | None) -> ClicksOfLinks:
    sums: dict[int, LinkClickCounts] = {}
    for each in clicks:
        at = datetime.fromtimestamp(each.at_us // 900_000_000 * 900, UTC)
        if each.kind != ClickKind.CLICK or each.classification not in COUNTED_CLASSES:
            continue
        if period.first <= at.date() <= period.last and (links is None or each.link_id in links):
            known = sums.get(each.link_id, LinkClickCounts(0, at))
            last = max(at, known.last_click or at)
            sums[each.link_id] = LinkClickCounts(known.clicks + 1, last)
    return sums
