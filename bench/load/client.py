"""A small HTTP client: one connection, kept; blocking, as a benchmark's own calls are."""

import http.client
import json
from collections import defaultdict
from typing import Any
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from bench.kit.errors import BenchError

TIMEOUT_S = 30.0


class Client:
    """Speaks to one origin. Raises BenchError for an answer that is none or is a refusal."""

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
        """The JSON answer."""
        return json.loads(self._text(path))

    def post(self, path: str, body: Any, idempotency_key: str = "") -> Any:
        """The JSON answer to a POST, which is sent once."""
        headers = self._headers | {"Content-Type": "application/json"}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        try:
            self._connection.request("POST", path, json.dumps(body), headers)
            response = self._connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise BenchError(f"{self.url}{path} was not answered: {error!r}") from None
        if not 200 <= response.status < 300:
            raise BenchError(f"{self.url}{path} was answered {response.status}: {data[:300]!r}")
        return json.loads(data)

    def metrics(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        """`/metrics`: by name, the labels and value of each sample."""
        found: dict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
        for family in text_string_to_metric_families(self._text("/metrics")):
            for sample in family.samples:
                found[sample.name].append((sample.labels, sample.value))
        return dict(found)

    def location(self, path: str, user_agent: str) -> tuple[int, str]:
        """Status and Location of a visitor's request."""
        response, _ = self._answer(path, {"User-Agent": user_agent})
        return response.status, response.headers.get("Location", "")

    def tagged(self, path: str, tag: str = "") -> tuple[int, str]:
        """Status and ETag of a poll for what is newer than `tag`."""
        headers = self._headers | ({"If-None-Match": tag} if tag else {})
        response, _ = self._answer(path, headers)
        return response.status, response.headers.get("ETag", "")

    def _text(self, path: str) -> str:
        response, data = self._answer(path, self._headers)
        if response.status != 200:
            raise BenchError(f"{self.url}{path} was answered {response.status}: {data[:300]!r}")
        return data.decode()

    def _answer(self, path: str, headers: dict[str, str]) -> tuple[http.client.HTTPResponse, bytes]:
        try:
            try:
                return self._once(path, headers)
            except ConnectionError:
                # Closed while idle: once more, on a new connection.
                self._connection.close()
                return self._once(path, headers)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise BenchError(f"{self.url}{path} was not answered: {error!r}") from None

    def _once(self, path: str, headers: dict[str, str]) -> tuple[http.client.HTTPResponse, bytes]:
        self._connection.request("GET", path, headers=headers)
        response = self._connection.getresponse()
        return response, response.read()
