"""GitHub's REST API over HTTP: each request and response is bounded in time and size.

A request ends within `TOTAL_S`, whatever the server does. At most MAX_BODY_BYTES of a body are read. The
client asks for no compression, so it does not read the body of a compressed response at all. The caller
follows redirects. The token is sent to the base URL only and appears in no error.
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
    """GithubApi over HTTP/1.1. Call close() when done."""

    def __init__(self, base_url: str, token: str, total_s: float = TOTAL_S) -> None:
        self.base_url = base_url.rstrip("/")
        self._token = token
        self._total_s = total_s
        self._pool = httpcore.AsyncConnectionPool(max_connections=2, keepalive_expiry=KEEP_S)

    async def send(self, request: GithubRequest) -> GithubResponse:
        try:
            with trio.fail_after(self._total_s):
                return await self._request(request)
        except trio.TooSlowError:
            raise UnavailableError(f"GitHub does not answer within {self._total_s:g} s") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            raise UnavailableError(f"GitHub does not answer: {type(error).__name__}") from None

    async def _request(self, request: GithubRequest) -> GithubResponse:
        headers = [*headers_of(request, self._token).items(), ("User-Agent", USER_AGENT)]
        async with self._pool.stream(
            "GET", self.base_url + request.path, headers=headers
        ) as response:
            response_headers = {
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in response.headers
            }
            if response_headers.get("content-encoding", "identity") != "identity":
                return GithubResponse(response.status, response_headers, oversized=True)
            body, oversized = bytearray(), False
            with trio.CancelScope() as reading:
                # No `break` here: only an error inside the loop closes httpcore's nested generators.
                async for chunk in response.aiter_stream():
                    body += chunk
                    if len(body) > MAX_BODY_BYTES:
                        oversized = True
                        reading.cancel()
            return GithubResponse(
                response.status, response_headers, b"" if oversized else bytes(body), oversized
            )

    async def close(self) -> None:
        await self._pool.aclose()
