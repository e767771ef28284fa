"""A small HTTP client: one connection, kept; blocking, as a benchmark's own calls are."""

import http.client
import json
from collections import defaultdict
from typing import Any
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from bench.errors import BenchError

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
        return json.loads(self._asked("GET", path, None))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON answer."""
        return json.loads(self._asked("POST", path, json.dumps(body)))

    def metrics(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        """`/metrics`: by name, the labels and value of each sample."""
        found: dict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
        for family in text_string_to_metric_families(self._asked("GET", "/metrics", None)):
            for sample in family.samples:
                found[sample.name].append((sample.labels, sample.value))
        return dict(found)

    def location(self, path: str, user_agent: str) -> tuple[int, str]:
        """Status and Location of a visitor's GET."""
        response, _ = self._answer("GET", path, None, {"User-Agent": user_agent})
        return response.status, response.headers.get("Location", "")

    def _asked(self, method: str, path: str, body: str | None) -> str:
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        response, data = self._answer(method, path, body, headers)
        if response.status >= 300:
            raise BenchError(f"{method} {path} was answered {response.status}: {data[:300]!r}")
        return data.decode()

    def _answer(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        try:
            try:
                return self._once(method, path, body, headers)
            except (ConnectionError, http.client.RemoteDisconnected):
                # Closed while idle; a GET may be asked again, a POST must not.
                self._connection.close()
                if method != "GET":
                    raise
                return self._once(method, path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise BenchError(f"{method} {self.url}{path} was not answered: {error!r}") from None

    def _once(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        return response, response.read()
