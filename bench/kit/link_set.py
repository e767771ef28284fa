"""Links to measure with: many profiles of a hundred links, each with a target of its own."""

import csv
import io
from collections.abc import Iterable
from typing import NamedTuple

LINKS_PER_PROFILE = 100
_SITES = ("shop.example.com", "www.example.org", "music.example.net", "blog.example.com")


class SampleLink(NamedTuple):
    """A row of what `waypost import` reads. `target` is in its normal form already."""

    handle: str
    slug: str
    target: str
    title: str

    @property
    def path(self) -> str:
        return f"/{self.handle}/{self.slug}"


def make(count: int) -> list[SampleLink]:
    return [
        SampleLink(
            handle=f"creator{i // LINKS_PER_PROFILE:04}",
            slug=f"link-{i:06}",
            target=f"https://{_SITES[i % len(_SITES)]}/item/{i:06}?utm_source=bio&utm_medium=link",
            title=f"Link {i}",
        )
        for i in range(count)
    ]


def written(links: Iterable[SampleLink]) -> str:
    """CSV with a header line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(SampleLink._fields)
    writer.writerows(links)
    return text.getvalue()
