"""QR codes that visitors ask an edge for: drawn off the hot path, limited, and remembered for a while."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import trio

from engine.limits.local_limiter import LocalRateLimiter
from engine.limits.rate import Rate
from engine.links.codes.qr import QrLook, qr_image
from engine.operations.metrics import Metric, Sample
from engine.visits.request import ClientInfo

MAX_WAITING: Final = 64
MAX_IMAGES: Final = 256
# Each client's codes that have to be drawn.
DRAWN_FOR_CLIENT: Final = Rate("qr-client", units=60, period_s=60)
MAX_CLIENTS: Final = 20_000

QR_CODES: Final = Metric(
    "waypost_qr_codes_total",
    "QR codes for visitors, by result (drawn, remembered, limited, refused, invalid: no such look)",
    ("result",),
)

Deliver = Callable[[list[tuple[list[Any], Any]], bool], None]
QrKey = tuple[bytes, QrLook]


class _WaitingVisitor(NamedTuple):
    """A visitor who waits for a code. `waiter` and `route` go back to the visitor server."""

    waiter: Any
    route: Any
    key: QrKey


class QrCodes:
    """The codes of one edge. Run `run` as a task; `monotonic` is the clock of the limit.

    `visitors_url` is the start of every address, without a slash at its end.
    """

    def __init__(self, visitors_url: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._visitors_url = visitors_url
        self._monotonic = monotonic
        self._of_client = LocalRateLimiter(DRAWN_FOR_CLIENT, MAX_CLIENTS, "deny")
        self._images: OrderedDict[QrKey, bytes] = OrderedDict()
        self._waiting: deque[_WaitingVisitor] = deque()
        self._event = trio.Event()
        self.results = dict.fromkeys(("drawn", "remembered", "limited", "refused", "invalid"), 0)

    def image(self, key: QrKey) -> bytes | None:
        """Return the image for a canonical path and look, if it is remembered."""
        image = self._images.get(key)
        if image is not None:
            self._images.move_to_end(key)
            self.results["remembered"] += 1
        return image

    def wait(self, waiter: Any, route: Any, key: QrKey, client: ClientInfo) -> int:
        """Have an image drawn; run() then delivers the waiter with its route, and image() has it.

        Returns 0, or the status to refuse the request with: 429 after too many codes, 503 while too many wait.
        """
        now_us = int(self._monotonic() * 1_000_000)
        if not self._of_client.decide(client.network, now_us).allowed:
            self.results["limited"] += 1
            return 429
        if len(self._waiting) >= MAX_WAITING:
            self.results["refused"] += 1
            return 503
        self._waiting.append(_WaitingVisitor(waiter, route, key))
        self._event.set()
        return 0

    async def run(self, deliver: Deliver) -> None:
        """Draw what waits, one image at a time, for ever."""
        while True:
            while not self._waiting:
                self._event = trio.Event()
                await self._event.wait()
            visitor = self._waiting.popleft()
            path, look = visitor.key
            if visitor.key not in self._images:
                address = self._visitors_url + path.decode("ascii")
                image = await trio.to_thread.run_sync(qr_image, address, look)
                self._images[visitor.key] = image
                self.results["drawn"] += 1
                if len(self._images) > MAX_IMAGES:
                    self._images.popitem(last=False)
            deliver([([visitor.waiter], visitor.route)], True)

    def samples(self) -> list[Sample]:
        return QR_CODES.by_label(self.results)
