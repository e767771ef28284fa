"""Open overviews of the dashboard, as its module polls: a stream of live clicks, and polls with entity tags."""

import json
from collections import Counter
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import trio

STATS_S: Final = 10.0  # EVERY_MS and NEEDS_EVERY_MS of js/screens/overview.js
NEEDS_S: Final = 120.0
OPENING_S: Final = 30.0  # opening an overview takes many times what keeping it open does
_MONTH: Final = {"tz": "Europe/Rome", "period": "30d"}
# What the overview asks at first: questions() of js/screens/overview.js.
QUESTIONS: Final[dict[str, Any]] = {
    "questions": [
        _MONTH | {"interval": "day", "compare": "previous"},
        *(
            _MONTH | {"group": group, "metrics": "clicks", "order": "-clicks", "limit": limit}
            for group, limit in (("link", 8), ("source", 8), ("country", 250))
        ),
    ],
    "latest_clicks": 30,
}


class Reader(NamedTuple):
    """Somebody signed in: the header fields of their requests, and the profile that they look at."""

    cookie: str
    csrf: str
    profile_id: str
    user_id: str

    def fields(self) -> dict[str, str]:
        return {"Cookie": self.cookie, "X-CSRF-Token": self.csrf}


class Overviews:
    """Many open overviews. `answers` counts the answers by request and status; `refusals` the details of those
    of 400 and above."""

    def __init__(self, console_url: str, readers: list[Reader]) -> None:
        parts = urlsplit(console_url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._readers = readers
        self.answers: Counter[tuple[str, int]] = Counter()
        self.refusals: Counter[str] = Counter()
        self.streams = 0

    async def run(self) -> None:
        """Open all within OPENING_S, and keep them open. Runs until it is cancelled."""
        async with trio.open_nursery() as nursery:
            for number, reader in enumerate(self._readers):
                later = OPENING_S * number / len(self._readers)
                address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
                overview = _Overview(self, reader, address)
                nursery.start_soon(overview.watch, later)
                nursery.start_soon(overview.poll_all, later)

    async def connect(self) -> "_Connection":
        return _Connection(await trio.open_tcp_stream(*self._address))


class _Connection:
    """A connection of HTTP/1.1, whose responses have a length or are streams."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._read = b""

    async def head(self) -> tuple[int, dict[str, str]]:
        """Return status and header fields, in lower case, of a response."""
        while b"\r\n\r\n" not in self._read:
            await self._more()
        text, _, self._read = self._read.partition(b"\r\n\r\n")
        status, *lines = text.decode("latin-1").split("\r\n")
        fields = (line.partition(": ") for line in lines)
        return int(status.split()[1]), {name.lower(): value for name, _, value in fields}

    async def body(self, size: int) -> bytes:
        """Return a body of so many bytes."""
        while len(self._read) < size:
            await self._more()
        body, self._read = self._read[:size], self._read[size:]
        return body

    async def _more(self) -> None:
        data = await self.stream.receive_some()
        if not data:
            raise trio.BrokenResourceError
        self._read += data


class _Overview:
    def __init__(self, overviews: Overviews, reader: Reader, address: str) -> None:
        self._overviews = overviews
        self._reader = reader
        self._address = address
        self._tags: dict[str, str] = {}
        self._connection: _Connection | None = None

    async def poll_all(self, later: float) -> None:
        await trio.sleep(later)
        path = f"/v1/profiles/{self._reader.profile_id}"
        body = json.dumps(QUESTIONS).encode()
        for poll in range(1_000_000):
            await self._ask("stats", "POST", f"{path}/stats/batch", body)
            if poll % int(NEEDS_S // STATS_S) == 0:
                await self._ask("overview", "GET", f"{path}/overview", b"")
            await trio.sleep(STATS_S)

    async def watch(self, later: float) -> None:
        """Read the stream, and open it again when it ends."""
        await trio.sleep(later)
        path = f"/v1/profiles/{self._reader.profile_id}/live"
        while True:
            connection = await self._overviews.connect()
            await connection.stream.send_all(self._head("GET", path, b"", ""))
            status, fields = await connection.head()
            self._overviews.answers["live", status] += 1
            if status == HTTPStatus.OK:
                self._overviews.streams += 1
                async for _ in connection.stream:
                    pass
                self._overviews.streams -= 1
            else:
                self._refused(await connection.body(int(fields.get("content-length", 0))))
            await connection.stream.aclose()
            await trio.sleep(5)

    async def _ask(self, name: str, method: str, path: str, body: bytes) -> None:
        """Send a request with the tag of its last answer, on a new connection if the kept one has ended."""
        head = self._head(method, path, body, self._tags.get(name, ""))
        for _ in range(2):
            if self._connection is None:
                self._connection = await self._overviews.connect()
            connection = self._connection
            try:
                await connection.stream.send_all(head + body)
                status, fields = await connection.head()
                answer = await connection.body(int(fields.get("content-length", 0)))
            except trio.BrokenResourceError:
                await connection.stream.aclose()
                self._connection = None
                continue
            if fields.get("connection") == "close":
                await connection.stream.aclose()
                self._connection = None
            self._tags[name] = fields.get("etag", "")
            self._overviews.answers[name, status] += 1
            if status >= HTTPStatus.BAD_REQUEST:
                self._refused(answer)
            return
        self._overviews.answers[name, 0] += 1

    def _refused(self, problem: bytes) -> None:
        self._overviews.refusals[str(json.loads(problem).get("detail"))] += 1

    def _head(self, method: str, path: str, body: bytes, tag: str) -> bytes:
        fields = {
            "Host": "console.example",
            **self._reader.fields(),
            "X-Forwarded-For": self._address,
            "Accept-Encoding": "gzip, br",
            "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
        }
        if body:
            fields |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        if tag:
            fields["If-None-Match"] = tag
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode()
