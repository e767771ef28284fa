"""Records of clicks for one fold: how many, of which profiles and links, and with how many new texts."""

import random
import time
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from bench.kit.traffic import HOT_LINKS, TRAFFIC
from bench.load.fold_backlog import texts
from engine.clicks.batch import Batch
from engine.clicks.click import Click, ClickKind, VisitorClass
from engine.clicks.journal_format import encode_frame, encode_record
from engine.clicks.record_items import HOST, UTM, item

EVEN_TENANT: Final = 100
KNOWN_LINKS: Final = 65_536  # as engine/clicks/copy_rows.py keeps
FIRST_PROFILE: Final = 1_000
FRAME_CLICKS: Final = 64
BATCH_BYTES: Final = 256 * 1024  # as the shipper cuts them (actors/clicks/shipper.py)
_HOST_ITEM: Final = item(HOST, b"bio.example.com")
_UTM_NAMES: Final = ("source", "medium", "campaign", "term", "content")


class BatchShape(NamedTuple):
    """Clicks of one fold. Either of a kind of traffic (bench/kit/traffic.py), or spread evenly over `links`
    links of `profiles` profiles. `new_agents` of the clicks have a user agent, and `new_values` of them
    campaign values, that no fold has seen; with `moving`, each fold has other profiles and links. They were
    made `days_ago`, so that they may be of a finished day."""

    clicks: int
    profiles: int = 1
    links: int = 1
    new_agents: int = 0
    new_values: int = 0
    traffic: str = ""
    days_ago: int = 0
    moving: bool = False


class FoldContent(NamedTuple):
    """Contents of one fold, on which its cost depends: `deltas` rows, distinct links, distinct texts of each
    delta together, and those links, user agents and campaign values that no recent fold had.

    `bytes` is the size of its records. Means of several folds are not whole.
    """

    clicks: float
    deltas: float
    links: float
    texts: float
    new_links: float
    new_agents: float
    new_values: float
    bytes: float


def mean_content(contents: Sequence[FoldContent]) -> FoldContent:
    return FoldContent(*(sum(column) / len(contents) for column in zip(*contents, strict=True)))


class ClickMaker:
    """Encoder of clicks of one shape; reproducible by `seed`, at the time of the machine's clock."""

    def __init__(self, shape: BatchShape, seed: int) -> None:
        self._shape = shape
        # A tenant for each kind of traffic, so that none of them adds to another's profiles.
        kinds = sorted(TRAFFIC)
        self._tenant = 1 + kinds.index(shape.traffic) if shape.traffic else EVEN_TENANT
        self._dice = random.Random(seed)  # noqa: S311
        self._texts = texts()
        self._next_single = seed * shape.clicks
        self._new_agents = 0
        self._folds = 0
        self._known_links: set[int] = set()
        self._seed = seed
        self._weights: list[float] = []

    def records(self) -> tuple[FoldContent, list[bytes]]:
        """Return the records of the next fold, and what they contain."""
        shape, dice = self._shape, self._dice
        places = list(self._places())
        new_values = shape.clicks if shape.traffic == "made-up" else shape.new_values
        at_us = time.time_ns() // 1000 - shape.days_ago * 86_400_000_000
        records = []
        entries = set[tuple[int, int, bytes]]()
        for number, (profile, link) in enumerate(places):
            agent, referrer, language = self._texts[dice.randrange(len(self._texts))]
            if number < shape.new_agents:
                self._new_agents += 1
                agent = b"%s Unseen/%d.%d" % (agent, self._seed, self._new_agents)
            items = _HOST_ITEM + (item(UTM, self._utm()) if number < new_values else b"")
            entries |= {
                (profile, kind, text)
                for kind, text in enumerate((agent, referrer, language, items))
            }
            records.append(
                encode_record(
                    Click(ClickKind.CLICK, VisitorClass.HUMAN, at_us + number, self._tenant,
                          FIRST_PROFILE + profile, FIRST_PROFILE + link, agent, referrer, language,
                          dice.randbytes(8), items)
                )
            )  # fmt: skip
        content = FoldContent(
            shape.clicks,
            len({profile for profile, _ in places}),
            len(set(places)),
            len(entries),
            self._count_new_links({link for _, link in places}),
            shape.new_agents,
            new_values,
            sum(map(len, records)),
        )
        return content, records

    def _count_new_links(self, links: set[int]) -> int:
        """Count links that a worker's table of known ones would lack; it is emptied when full."""
        new = len(links - self._known_links)
        if len(self._known_links) + new > KNOWN_LINKS:
            self._known_links.clear()
        self._known_links |= links
        return new

    def _utm(self) -> bytes:
        return b"&".join(
            b"utm_%s=v%d" % (name.encode(), self._dice.randrange(10**9)) for name in _UTM_NAMES
        )

    def _places(self) -> Iterator[tuple[int, int]]:
        """Yield (profile, link) of each click, from 0."""
        shape, dice = self._shape, self._dice
        if not shape.traffic:
            moved = self._folds * shape.links if shape.moving else 0
            self._folds += 1
            for number in range(shape.clicks):
                link = number % shape.links
                yield moved + link % shape.profiles, moved + link
            return
        kind = TRAFFIC[shape.traffic]
        if shape.traffic == "single":
            for number in range(shape.clicks):
                link = (self._next_single + number) % kind.links
                yield link, link
            self._next_single += shape.clicks
            return
        if shape.traffic == "zipf":
            if not self._weights:
                self._weights = list(accumulate(1 / rank for rank in range(1, kind.links + 1)))
            links = dice.choices(range(kind.links), cum_weights=self._weights, k=shape.clicks)
        else:
            count = HOT_LINKS if shape.traffic == "hot" else kind.links
            links = [dice.randrange(count) for _ in range(shape.clicks)]
        yield from ((link // kind.per_profile, link) for link in links)


def batches_of(first: int, records: Sequence[bytes]) -> list[Batch]:
    """Return records as batches of whole frames; the first has the sequence `first`."""
    batches = []
    frames: list[bytes] = []
    begin, size = first, 0
    for start in range(0, len(records), FRAME_CLICKS):
        part = list(records[start : start + FRAME_CLICKS])
        frame = encode_frame(first + start, part)
        frames.append(frame)
        size += len(frame)
        last = first + start + len(part) - 1
        if size >= BATCH_BYTES or last == first + len(records) - 1:
            batches.append(Batch(begin, last, b"".join(frames)))
            frames, begin, size = [], last + 1, 0
    return batches
