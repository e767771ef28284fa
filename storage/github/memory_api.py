"""A GitHub in memory: the twin of storage/github/api.py, which tests also serve over HTTP.

It answers as api.github.com is documented to, with its headers: ETags, redirects of renamed repositories,
limits. `requests` has every request as (path, status); each of `faults` answers one request before all
else.
"""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import trio

from engine.common.errors import UnavailableError
from engine.github.conversation import MAX_BODY_BYTES, GithubRequest, GithubResponse, headers_of

_DOCS = "https://docs.github.com/rest"


@dataclass
class MemoryRepository:
    """A repository. `more` has fields of its JSON that replace or extend the usual ones."""

    id: int
    full_name: str
    stars: int = 0
    archived: bool = False
    private: bool = False
    blocked: bool = False
    release: str | None = None
    more: dict[str, Any] = field(default_factory=dict)

    def body(self, url: str) -> dict[str, Any]:
        owner, _, name = self.full_name.partition("/")
        return {
            "id": self.id,
            "node_id": f"R_{self.id}",
            "name": name,
            "full_name": self.full_name,
            "private": self.private,
            "owner": {
                "login": owner,
                "id": 7,
                "avatar_url": "https://avatars.githubusercontent.com/u/7?v=4",
                "type": "Organization",
            },
            "html_url": f"https://github.com/{self.full_name}",
            "url": f"{url}/repos/{self.full_name}",
            "description": "Redirects and counts",
            "fork": False,
            "language": "Python",
            "stargazers_count": self.stars,
            "watchers_count": self.stars,
            "forks_count": 3,
            "open_issues_count": 1,
            "archived": self.archived,
            "disabled": False,
            "license": {"key": "mit", "name": "MIT License", "spdx_id": "MIT"},
            "topics": ["analytics", "trio"],
            "visibility": "private" if self.private else "public",
            "default_branch": "main",
        } | self.more


class MemoryGithub:
    """GitHub at base URL `url` with the clock `now`. If `tokens` is set, it refuses all other tokens."""

    def __init__(
        self, now: Callable[[], datetime], url: str = "http://github.test", limit: int = 5000
    ) -> None:
        self.now = now
        self.url = url
        self.limit = self.remaining = limit
        self.reset_at = now().timestamp() + 3600
        self.tokens: set[str] | None = None
        self.repositories: dict[int, MemoryRepository] = {}
        self.redirects: dict[str, int] = {}
        self.requests: list[tuple[str, int]] = []
        self.faults: deque[GithubResponse | Exception] = deque()

    def add(self, full_name: str, **fields: Any) -> MemoryRepository:
        repository = MemoryRepository(len(self.repositories) + 1296269, full_name, **fields)
        self.repositories[repository.id] = repository
        return repository

    def rename(self, repository: MemoryRepository, full_name: str) -> None:
        self.redirects[repository.full_name.lower()] = repository.id
        repository.full_name = full_name

    def delete(self, repository: MemoryRepository) -> None:
        del self.repositories[repository.id]

    def answer(self, path: str, headers: Mapping[str, str]) -> GithubResponse:
        """Answer a request; `headers` have lower-case names. Raises a fault that is an exception."""
        if self.faults:
            fault = self.faults.popleft()
            self.requests.append((path, 0 if isinstance(fault, Exception) else fault.status))
            if isinstance(fault, Exception):
                raise fault
            return fault
        response = self._answer(path, headers)
        self.requests.append((path, response.status))
        return response

    def _answer(self, path: str, headers: Mapping[str, str]) -> GithubResponse:
        authorization = headers.get("authorization", "")
        if self.tokens is not None and authorization.removeprefix("Bearer ") not in self.tokens:
            return self.problem(401, "Bad credentials")
        if self.now().timestamp() >= self.reset_at:
            self.remaining, self.reset_at = self.limit, self.now().timestamp() + 3600
        if self.remaining <= 0:
            return self.problem(403, "API rate limit exceeded for 203.0.113.7.", counts=False)
        status, body = self._resource(path)
        if status in (301, 404, 451):
            more = {"location": body["url"]} if status == 301 else {}
            return self.problem(status, more=more, body=body)
        content = json.dumps(body).encode()
        etag = f'W/"{hashlib.sha256(content).hexdigest()}"'
        if headers.get("if-none-match") == etag:
            self.remaining -= not authorization
            return GithubResponse(304, self.headers({"etag": etag}))
        self.remaining -= 1
        return GithubResponse(200, self.headers({"etag": etag}), content)

    def _resource(self, path: str) -> tuple[int, dict[str, Any]]:
        parts = path.strip("/").split("/")
        release = parts[-2:] == ["releases", "latest"]
        parts = parts[:-2] if release else parts
        repository = None
        if parts[0] == "repositories" and len(parts) == 2 and parts[1].isdigit():
            repository = self.repositories.get(int(parts[1]))
        elif parts[0] == "repos" and len(parts) == 3:
            name = "/".join(parts[1:]).lower()
            by_name = {r.full_name.lower(): r for r in self.repositories.values()}
            repository = by_name.get(name)
            moved = self.redirects.get(name)
            if repository is None and moved in self.repositories:
                tail = "/releases/latest" if release else ""
                return 301, {
                    "message": "Moved Permanently",
                    "url": f"{self.url}/repositories/{moved}{tail}",
                    "documentation_url": f"{_DOCS}/guides/best-practices-for-using-the-rest-api",
                }
        if repository is None or repository.private:
            return 404, _problem("Not Found", 404)
        if repository.blocked:
            block = {"reason": "dmca", "created_at": "2026-01-01T00:00:00Z", "html_url": None}
            return 451, {"message": "Repository access blocked", "block": block}
        if not release:
            return 200, repository.body(self.url)
        if repository.release is None:
            return 404, _problem("Not Found", 404)
        return 200, {
            "id": 1,
            "tag_name": repository.release,
            "name": repository.release,
            "draft": False,
            "prerelease": False,
            "published_at": "2026-02-27T19:35:32Z",
            "assets": [],
            "body": "Notes",
        }

    def headers(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        return {
            "server": "github.com",
            "date": format_datetime(self.now().astimezone(UTC), usegmt=True),
            "content-type": "application/json; charset=utf-8",
            "cache-control": "public, max-age=60, s-maxage=60",
            "vary": "Accept,Accept-Encoding, Accept, X-Requested-With",
            "x-github-media-type": "github.v3; format=json",
            "x-github-api-version-selected": "2022-11-28",
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-remaining": str(max(self.remaining, 0)),
            "x-ratelimit-used": str(self.limit - max(self.remaining, 0)),
            "x-ratelimit-reset": str(int(self.reset_at)),
            "x-ratelimit-resource": "core",
            "x-github-request-id": "C0DE:1234:56789A:BCDEF0:65000000",
        } | dict(more or {})

    def problem(
        self,
        status: int,
        message: str = "",
        *,
        more: Mapping[str, str] | None = None,
        body: Any = None,
        counts: bool = True,
    ) -> GithubResponse:
        """Return an unsuccessful response in GitHub's words. If `counts`, it is charged to the rate limit."""
        self.remaining -= counts
        content = json.dumps(_problem(message, status) if body is None else body).encode()
        return GithubResponse(status, self.headers(more), content)

    def secondary_limit(self, status: int = 403, retry_after_s: int | None = 30) -> GithubResponse:
        more = {} if retry_after_s is None else {"retry-after": str(retry_after_s)}
        return self.problem(
            status,
            "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
            more=more,
        )


class MemoryGithubApi:
    """GithubApi over a MemoryGithub."""

    def __init__(self, github: MemoryGithub, token: str = "") -> None:
        self._github = github
        self._token = token

    @property
    def base_url(self) -> str:
        return self._github.url

    async def send(self, request: GithubRequest) -> GithubResponse:
        await trio.lowlevel.checkpoint()
        headers = {k.lower(): v for k, v in headers_of(request, self._token).items()}
        try:
            response = self._github.answer(request.path, headers)
        except OSError as error:
            raise UnavailableError(f"GitHub does not answer: {error}") from None
        if len(response.body) > MAX_BODY_BYTES:
            return response._replace(body=b"", oversized=True)
        return response


def _problem(message: str, status: int) -> dict[str, str]:
    return {"message": message, "documentation_url": _DOCS, "status": str(status)}
