"""The copier: gives conversions the dimensions of their click, soon after both are there.

Several copiers may work at once: the store gives each conversion to one of them.
"""

import logging
from typing import Final, Protocol

import trio

from engine.common.errors import UnavailableError
from engine.common.retry import backoff_s
from engine.operations.metrics import Metric, Sample

logger = logging.getLogger("waypost.conversions")

POLL_S: Final = 2.0
MAX_WAIT_S: Final = 60.0

COPIED: Final = Metric(
    "waypost_conversion_dimensions_total",
    "Conversions whose click was looked for, by outcome: copied, given_up (after three days)",
    ("outcome",),
)


class ConversionDimensions(Protocol):
    """Conversions whose click is to be looked for."""

    async def copy_due(self) -> tuple[int, int]:
        """Copy the dimensions of due conversions. Returns (how many, how many will get none)."""


class DimensionCopier:
    """The copier. Run it under a supervisor."""

    def __init__(self, dimensions: ConversionDimensions) -> None:
        self._dimensions = dimensions
        self._counts = {"copied": 0, "given_up": 0}
        self.last_error = ""

    async def run(self) -> None:
        failures = 0
        while True:
            try:
                copied, given_up = await self._dimensions.copy_due()
            except UnavailableError as error:
                self.last_error = str(error)
                failures += 1
                await trio.sleep(backoff_s(failures, first_s=POLL_S, limit_s=MAX_WAIT_S))
                continue
            failures, self.last_error = 0, ""
            self._counts["copied"] += copied
            self._counts["given_up"] += given_up
            if given_up:
                logger.warning(
                    "%d conversions: their clicks were not found, so statistics count them without "
                    "country, source and the like", given_up,
                    extra={"event": "conversion_clicks_missing"},
                )  # fmt: skip
            if not copied:
                await trio.sleep(POLL_S)

    def samples(self) -> list[Sample]:
        return [*COPIED.by_label(self._counts)]
