"""`/openapi.json` and `/docs`: every route is described, and every description holds together."""

from collections.abc import Iterator
from typing import Any

import pytest

from api.http.routes import Doc, ResponseDoc, Route
from api.reference import openapi
from api.reference.page import page
from tests.kit.consoles import Console

# Pages for people, which are no part of the API.
PAGES = {("GET", "/"), ("GET", "/docs"), ("GET", "/docs.css")}


async def document(console: Console) -> dict[str, Any]:
    response = await console.call("GET", "/openapi.json", key="")
    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json"
    found: dict[str, Any] = response.json
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


async def undocumented(console: Console) -> set[tuple[str, str]]:
    """Routes of the app that the document does not know."""
    known = {(method, path) for method, path, _ in operations(await document(console))}
    there = {
        (method, rule.rule.replace("<", "{").replace(">", "}"))
        for rule in console.app.url_map.iter_rules()
        for method in rule.methods or ()
        if method not in ("HEAD", "OPTIONS")
    }
    assert known <= there
    return there - known - PAGES


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


async def test_every_route_is_documented() -> None:
    assert await undocumented(Console()) == set()


async def test_a_route_without_words_is_found() -> None:
    console = Console()
    console.app.add_url_rule("/v1/new", endpoint="new", methods=["POST"])
    assert await undocumented(console) == {("POST", "/v1/new")}


async def test_every_operation_is_whole() -> None:
    found = await document(Console())
    assert found["openapi"] == "3.1.0"
    ids = [operation["operationId"] for _, _, operation in operations(found)]
    assert len(ids) == len(set(ids)) > 15
    for method, path, operation in operations(found):
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation["tags"], where
        good = [status for status in operation["responses"] if status[0] in "23"]
        assert good, where
        assert len(good) < len(operation["responses"]) or not path.startswith("/v1"), where
        if method in ("POST", "PATCH") and "requestBody" in operation:
            content = operation["requestBody"]["content"]["application/json"]
            assert content["example"], where
        for status in good:
            for kind, content in operation["responses"][status].get("content", {}).items():
                assert "schema" in content, where
                assert "example" in content or path == "/openapi.json", (where, kind)
        if path.startswith("/v1"):
            assert {"422", "429", "503"} <= operation["responses"].keys(), where
    for variable in ("{profile_id}", "{link_id}"):
        assert any(variable in path for path in found["paths"])


async def test_every_reference_leads_somewhere() -> None:
    found = await document(Console())
    for reference in set(references(found)):
        node: Any = found
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


async def test_examples_are_what_their_schemas_say() -> None:
    validators = pytest.importorskip("jsonschema_rs")
    found = await document(Console())
    seen = 0
    for _, _, operation in operations(found):
        contents = [
            c for r in operation["responses"].values() for c in r.get("content", {}).values()
        ]
        contents += operation.get("requestBody", {}).get("content", {}).values()
        for content in contents:
            if "example" in content:
                schema = content["schema"] | {"components": found["components"]}
                validators.validator_for(schema).validate(content["example"])
                seen += 1
    for response in found["components"]["responses"].values():
        (content,) = response["content"].values()
        schema = content["schema"] | {"components": found["components"]}
        validators.validator_for(schema).validate(content["example"])
    assert seen > 30


def test_two_operations_of_one_name_are_refused() -> None:
    async def handler() -> Any: ...

    doc = Doc(id="same", summary="Same", tag="T", responses={200: ResponseDoc("Good.")})
    routes = [Route("GET", "/a", handler, doc), Route("GET", "/b", handler, doc)]
    with pytest.raises(ValueError, match="same"):
        openapi.document(routes, version="1", url="/")


async def test_the_page_has_an_anchor_an_example_and_a_command_for_each() -> None:
    console = Console()
    found = await document(console)
    response = await console.call("GET", "/docs", key="")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    shown = response.body.decode()
    for method, path, operation in operations(found):
        assert f'id="{operation["operationId"]}"' in shown
        assert f'href="#{operation["operationId"]}"' in shown
        assert path.replace("/", "/<wbr>") in shown, method
    assert shown.count("curl ") == len(list(operations(found)))
    for name in found["components"]["schemas"]:
        assert f'id="schema-{name}"' in shown
    assert "src=" not in shown
    style = await console.call("GET", "/docs.css", key="")
    assert style.headers["Content-Type"] == "text/css; charset=utf-8"
    assert b"@import" not in style.body
    assert b"url(" not in style.body


async def test_the_page_escapes_what_it_shows() -> None:
    async def handler() -> Any: ...

    doc = Doc(
        id="x",
        summary="<b>&",
        tag="<T>",
        responses={200: ResponseDoc("<script>", str, "</code><script>")},
    )
    made = page(openapi.document([Route("GET", "/a", handler, doc)], version="<1>", url="/"), "/s")
    assert "<script>" not in made
    assert "<T>" not in made
    assert "&lt;b&gt;&amp;" in made
