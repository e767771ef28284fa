"""A walk through everything that an API and its files say, in search of ids and times of a wrong form."""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import msgspec

MAX_EXACT = 2**53  # the largest integer below which JavaScript holds each one
_ID = re.compile(r"(^|_)(id|by)$")
_UTC_WITHOUT_Z = re.compile(r"\d\d:\d\d(:\d\d(\.\d+)?)?[+-]00:?00$")


def misfits(value: Any, place: str = "") -> Iterator[str]:
    """Yield the place of each id that is a number, integer that is too large, and UTC time without `Z`."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name == "sample":  # a body of another service, which writes its own forms
                continue
            if _ID.search(name) and type(item) in (int, float):
                yield f"{place}.{name}: an id that is a number, {item}"
            else:
                yield from misfits(item, f"{place}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from misfits(item, f"{place}[]")
    elif isinstance(value, int | float) and abs(value) > MAX_EXACT:
        yield f"{place}: a number that is too large, {value}"
    elif isinstance(value, str) and _UTC_WITHOUT_Z.search(value):
        yield f"{place}: a time without Z, {value}"


def documents(response: httpx.Response) -> list[Any]:
    """Return the JSON values of an answer, of each line or cell of it if it is a file."""
    kind = response.headers.get("Content-Type", "").partition(";")[0]
    if kind == "application/x-ndjson":
        return [msgspec.json.decode(line) for line in response.content.splitlines()]
    if kind.endswith("json"):
        return [response.json()] if response.content else []
    if kind == "text/csv":
        return [_decoded(cell) for row in csv.reader(io.StringIO(response.text)) for cell in row]
    return []


def _decoded(cell: str) -> Any:
    """Return the JSON object of a cell, or its text: a cell has no type, so its digits may be an id."""
    return msgspec.json.decode(cell) if cell.startswith("{") else cell


def readable_paths(document: Mapping[str, Any], ids: Mapping[str, str]) -> Iterator[str]:
    """Yield the path of each GET of an OpenAPI document that `ids`, by the variable's name, can fill.

    Streams are left out, as they do not end, and redirects, which have no body.
    """
    for path, methods in document["paths"].items():
        success = methods.get("get", {"responses": {}})["responses"].get("200")
        if success is None or "text/event-stream" in str(success):
            continue
        if set(re.findall(r"{(\w+)}", path)) <= ids.keys():
            yield path.format(**ids)


def one_of_each(client: httpx.Client) -> dict[str, str]:
    """Create a thing of each kind in the caller's first profile. Returns ids by the path's variable."""
    ids = {
        "user_id": client.get("/v1/user").json()["id"],
        "profile_id": client.get("/v1/profiles").json()["items"][0]["id"],
    }
    profile = f"/v1/profiles/{ids['profile_id']}"

    def post(path: str, body: Any = None, name: str = "") -> None:
        response = client.post(path, json=body)
        assert response.is_success, response.text
        answer: dict[str, Any] = response.json()
        assert list(misfits(answer, path)) == []
        if name:
            ids[name] = answer["id"]

    hook = {"url": "https://example.com/hook", "event_types": ["*", "link.clicked"]}
    post(f"{profile}/webhooks", hook, "webhook_id")
    post(
        "/v1/keys",
        {"label": "k", "scopes": ["read"], "expires_at": "2099-01-01T00:00:00Z"},
        "key_id",
    )
    post(f"{profile}/invitations", {"email": "a@example.com", "role": "editor"})
    post(f"{profile}/shares", {"label": "s", "metrics": ["clicks"]}, "share_id")
    annotation = {"at": "2026-05-01T09:30:00+02:00", "text": "spring"}
    post(f"{profile}/annotations", annotation, "annotation_id")
    post(f"{profile}/goals", {"name": "g", "event": "signup"}, "goal_id")
    post(f"{profile}/saved-questions", {"name": "q", "query": "period=7d"}, "question_id")
    post(f"{profile}/conversion-hooks", {"label": "h", "fields": {"click_id": "c"}})
    post(f"{profile}/domains", {"host": "links.example.com"}, "domain_id")
    repository = {"slug": "code", "target": "https://github.com/a/b", "kind": "github"}
    post(f"{profile}/links", repository, "link_id")
    post(f"/v1/links/{ids['link_id']}/github-sync", None, "job_id")
    variants = [{"name": name, "weight": 1, "target": f"https://{name}.example/"} for name in "ab"]
    draft = {"name": "t", "kind": "destination", "link_id": ids["link_id"], "variants": variants}
    post(f"{profile}/experiments", draft, "experiment_id")
    post(f"/v1/experiments/{ids['experiment_id']}/start")
    post(f"/v1/webhooks/{ids['webhook_id']}/test", None, "delivery_id")
    return ids
