"""GitHub's REST API over HTTP: one request, one answer, both bounded.

Each request ends within `TOTAL_S`, whatever the server does; of a body at most MAX_BODY_BYTES are read, as
they come over the wire: an answer that is compressed although nobody asked for that is not read at all.
Redirects are the caller's to follow. The token is sent to the base URL only and appears in no error.
"""

from typing import Final

import httpcore
import trio

from engine.common.errors import UnavailableError
from engine.github.conversation import MAX_BODY_BYTES, GithubRequest, GithubResponse, headers_of

TOTAL_S: Final = 10.0
KEEP_S: Final = 30.0
USER_AGENT: Final = "Waypost (link in bio; repository facts)"


class HttpGithubApi:
    """GithubApi over HTTP/1.1. `close` it in the end."""

    def __init__(self, base_url: str, token: str, total_s: float = TOTAL_S) -> None:
        self.base_url = base_url.rstrip("/")
        self._token = token
        self._total_s = total_s
        self._pool = httpcore.AsyncConnectionPool(max_connections=2, keepalive_expiry=KEEP_S)

    async def send(self, request: GithubRequest) -> GithubResponse:
        try:
            with trio.fail_after(self._total_s):
                return await self._ask(request)
        except trio.TooSlowError:
            raise UnavailableError(f"GitHub does not answer within {self._total_s:g} s") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            raise UnavailableError(f"GitHub does not answer: {type(error).__name__}") from None

    async def _ask(self, request: GithubRequest) -> GithubResponse:
        headers = [*headers_of(request, self._token).items(), ("User-Agent", USER_AGENT)]
        async with self._pool.stream(
            "GET", self.base_url + request.path, headers=headers
        ) as answer:
            found = {
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in answer.headers
            }
            if found.get("content-encoding", "identity") != "identity":
                return GithubResponse(answer.status, found, oversized=True)
            body, oversized = bytearray(), False
            with trio.CancelScope() as reading:
                # Not left by `break`: only an error inside ends the generators that this one is made of.
                async for chunk in answer.aiter_stream():
                    body += chunk
                    if len(body) > MAX_BODY_BYTES:
                        oversized = True
                        reading.cancel()
            return GithubResponse(
                answer.status, found, b"" if oversized else bytes(body), oversized
            )

    async def close(self) -> None:
        await self._pool.aclose()
