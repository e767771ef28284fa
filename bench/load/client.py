"""Small blocking HTTP client with one persistent connection, for a benchmark's own calls."""

import http.client
import json
from collections import defaultdict
from typing import Any
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from bench.kit.errors import BenchError

TIMEOUT_S = 30.0


class Client:
    """A client of one server. Raises BenchError for no response or an unexpected status."""

    def __init__(self, url: str, api_key: str = "") -> None:
        self.url = url
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=TIMEOUT_S
        )
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    def close(self) -> None:
        self._connection.close()

    def get(self, path: str) -> Any:
        """Return the decoded JSON response."""
        return json.loads(self._text(path))

    def post(self, path: str, body: Any, idempotency_key: str = "") -> Any:
        """Send a POST once. Returns the decoded JSON response."""
        return self._send("POST", path, body, idempotency_key)

    def put(self, path: str, body: Any) -> Any:
        """Send a PUT once. Returns the decoded JSON response."""
        return self._send("PUT", path, body)

    def body(self, path: str, headers: dict[str, str]) -> bytes:
        """Return the body of a visitor's request as it came. Raises BenchError for another status than 200."""
        response, data = self._get(path, headers)
        if response.status != 200:
            raise BenchError(f"{self.url}{path} was answered {response.status}")
        return data

    def _send(self, method: str, path: str, body: Any, idempotency_key: str = "") -> Any:
        headers = self._headers | {"Content-Type": "application/json"}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        try:
            self._connection.request(method, path, json.dumps(body), headers)
            response = self._connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise BenchError(f"{self.url}{path} was not answered: {error!r}") from None
        if not 200 <= response.status < 300:
            raise BenchError(f"{self.url}{path} was answered {response.status}: {data[:300]!r}")
        return json.loads(data)

    def metrics(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        """Return the samples of `/metrics` by name, each as (labels, value)."""
        samples: dict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
        for family in text_string_to_metric_families(self._text("/metrics")):
            for sample in family.samples:
                samples[sample.name].append((sample.labels, sample.value))
        return dict(samples)

    def location(self, path: str, user_agent: str) -> tuple[int, str]:
        """Return (status, Location) of a visitor's request."""
        response, _ = self._get(path, {"User-Agent": user_agent})
        return response.status, response.headers.get("Location", "")

    def poll(self, path: str, etag: str = "") -> tuple[int, str]:
        """Return (status, ETag) of a request with `etag` as If-None-Match; 304 when nothing has changed."""
        headers = self._headers | ({"If-None-Match": etag} if etag else {})
        response, _ = self._get(path, headers)
        return response.status, response.headers.get("ETag", "")

    def _text(self, path: str) -> str:
        response, data = self._get(path, self._headers)
        if response.status != 200:
            raise BenchError(f"{self.url}{path} was answered {response.status}: {data[:300]!r}")
        return data.decode()

    def _get(self, path: str, headers: dict[str, str]) -> tuple[http.client.HTTPResponse, bytes]:
        try:
            try:
                return self._request(path, headers)
            except ConnectionError:
                # The server closed an idle connection: retry on a new one.
                self._connection.close()
                return self._request(path, headers)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise BenchError(f"{self.url}{path} was not answered: {error!r}") from None

    def _request(
        self, path: str, headers: dict[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        self._connection.request("GET", path, headers=headers)
        response = self._connection.getresponse()
        return response, response.read()
