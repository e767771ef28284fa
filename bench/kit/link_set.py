"""Links for benchmarks: profiles of some links, each with its own target."""

import csv
import io
from collections.abc import Iterable
from typing import NamedTuple

LINKS_PER_PROFILE = 100
_SITES = ("shop.example.com", "www.example.org", "music.example.net", "blog.example.com")


class SampleLink(NamedTuple):
    """A row for `waypost import`. `target` is normalised already."""

    handle: str
    slug: str
    target: str
    title: str

    @property
    def path(self) -> str:
        return f"/{self.handle}/{self.slug}"


def sample_links(count: int, per_profile: int = LINKS_PER_PROFILE) -> list[SampleLink]:
    return [
        SampleLink(
            handle=f"creator{i // per_profile:04}",
            slug=f"link-{i:06}",
            target=f"https://{_SITES[i % len(_SITES)]}/item/{i:06}?utm_source=bio&utm_medium=link",
            title=f"Link {i}",
        )
        for i in range(count)
    ]


def to_csv(links: Iterable[SampleLink]) -> str:
    """Return the links as CSV with a header line, as `waypost import` reads it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(SampleLink._fields)
    writer.writerows(links)
    return text.getvalue()
