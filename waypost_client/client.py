"""The client: one method for each call, over one pool of connections."""

import ipaddress
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final, TypeVar, Unpack
from urllib.parse import quote

import httpx
import msgspec

from waypost_client.errors import ApiError, FieldProblem, UnreachableError
from waypost_client.objects import Link, LinkFields, Page, PlainLinkFields, Profile, Stats

T = TypeVar("T")
TIMEOUT_S: Final = 30.0
MAX_TEXT_CHARS: Final = 200  # of an answer that is no problem document


class _Problem(msgspec.Struct):
    detail: str
    errors: tuple[dict[str, str], ...] = ()


class WaypostClient:
    """A client of one console with one API key. Threads may share it. Close it, or use it in a `with`.

    Methods raise ApiError for a request that the console refuses, UnreachableError if it does not answer.
    `transport` is another one of httpx, for tests.
    """

    def __init__(
        self,
        console_url: str,
        api_key: str,
        *,
        timeout_s: float = TIMEOUT_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(
            base_url=console_url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=timeout_s,
            transport=transport,
            trust_env=not _on_this_machine(console_url),
        )
        self._console_url = console_url

    def __enter__(self) -> "WaypostClient":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def profiles(self) -> Iterator[Profile]:
        """Yield the profiles that the key's user is a member of, oldest first."""
        yield from self._items("/v1/profiles", Page[Profile], {})

    def profile(self, handle: str) -> Profile | None:
        """Return the profile with this handle, or None if there is none that the user is a member of."""
        wanted = handle.removeprefix("@").lower()
        return next((each for each in self.profiles() if each.handle == wanted), None)

    def create_profile(self, handle: str, title: str = "") -> Profile:
        return self._call(Profile, "POST", "/v1/profiles", json={"handle": handle, "title": title})

    def create_link(
        self,
        target: str,
        profile_id: str | None = None,
        *,
        if_exists: str = "refuse",
        idempotency_key: str | None = None,
        **fields: Unpack[LinkFields],
    ) -> Link:
        """Create a link, in the default profile unless `profile_id` names one. Without a slug it gets one.

        With `if_exists` "return", the link that has the slug, or leads to the target, is returned. Repeat a
        call that may have failed on the way with the same `idempotency_key`.
        """
        path = "/v1/links" if profile_id is None else f"/v1/profiles/{_part(profile_id)}/links"
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        params = {"if_exists": if_exists}
        body = {"target": target, **fields}
        return self._call(Link, "POST", path, params=params, json=body, headers=headers)

    def put_link(
        self, profile_id: str, external_id: str, target: str, **fields: Unpack[PlainLinkFields]
    ) -> Link:
        """Create the link with this id of another system, or change it."""
        path = f"/v1/profiles/{_part(profile_id)}/links/external/{_part(external_id)}"
        return self._call(Link, "PUT", path, json={"target": target, **fields})

    def link(self, link_id: str) -> Link:
        return self._call(Link, "GET", f"/v1/links/{_part(link_id)}")

    def look_up_link(self, url: str) -> Link:
        """Return the link at an address that visitors use, or at its path."""
        return self._call(Link, "GET", "/v1/links/lookup", params={"url": url})

    def links(self, profile_id: str, **filters: str) -> Iterator[Link]:
        """Yield a profile's links that pass the filters of docs/links.md: `q`, `tag`, `sort` and others."""
        path = f"/v1/profiles/{_part(profile_id)}/links"
        yield from self._items(path, Page[Link], filters)

    def update_link(
        self,
        link_id: str,
        *,
        target: str | None = None,
        if_version: int | None = None,
        **fields: Unpack[LinkFields],
    ) -> Link:
        """Change the named fields. With `if_version`, a link that has another one is refused with 412."""
        body = dict(fields) if target is None else {"target": target, **fields}
        headers = {} if if_version is None else {"If-Match": f'"{if_version}"'}
        path = f"/v1/links/{_part(link_id)}"
        return self._call(Link, "PATCH", path, json=body, headers=headers)

    def delete_link(self, link_id: str) -> None:
        """Delete a link. Its counts stay."""
        self._send("DELETE", f"/v1/links/{_part(link_id)}")

    def stats(self, profile_id: str, **question: str) -> Stats:
        """Return counts of a profile; `link`, `from`, `to`, `tz`, `interval` and others are those of
        docs/statistics.md."""
        path = f"/v1/profiles/{_part(profile_id)}/stats"
        return self._call(Stats, "GET", path, params=question)

    def _items(self, path: str, page: type[Page[T]], params: Mapping[str, str]) -> Iterator[T]:
        query = {"limit": "100", **params}
        while True:
            answer = self._call(page, "GET", path, params=query)
            yield from answer.items
            if answer.next_cursor is None:
                return
            query["cursor"] = answer.next_cursor

    def _call(self, kind: type[T], method: str, path: str, **request: Any) -> T:
        response = self._send(method, path, **request)
        try:
            return msgspec.json.decode(response.content, type=kind)
        except msgspec.MsgspecError:
            raise UnreachableError(f"{self._console_url} is no console of Waypost") from None

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        if "json" in request:
            request["content"] = msgspec.json.encode(request.pop("json"))
            headers = request.get("headers", {})
            request["headers"] = {**headers, "Content-Type": "application/json"}
        try:
            response = self._http.request(method, path, **request)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            reason = str(error) or type(error).__name__
            raise UnreachableError(
                f"the console at {self._console_url} does not answer: {reason}"
            ) from None
        if not response.is_success:
            raise _error_of(response)
        return response


def _error_of(response: httpx.Response) -> ApiError:
    retry_after = response.headers.get("Retry-After", "")
    retry_after_s = float(retry_after) if retry_after.isdecimal() else None
    try:
        problem = msgspec.json.decode(response.content, type=_Problem)
    except msgspec.MsgspecError:
        detail = f"status {response.status_code}: {response.text[:MAX_TEXT_CHARS]}".strip()
        return ApiError(response.status_code, detail, (), retry_after_s)
    fields = tuple(
        FieldProblem(each.get("field", ""), each.get("reason", "")) for each in problem.errors
    )
    return ApiError(response.status_code, problem.detail, fields, retry_after_s)


def _part(text: str) -> str:
    """Return a text as one segment of a path."""
    return quote(text, safe="")


def _on_this_machine(url: str) -> bool:
    """Return whether the URL's host is the loopback, to which no proxy leads."""
    try:
        host = httpx.URL(url).host
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except (httpx.InvalidURL, ValueError):
        return False
