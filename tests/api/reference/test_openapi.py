"""`/openapi.json` and `/docs`: every route is documented, and the document is consistent."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from api.dashboard.routes import DashboardRoutes
from api.http.routes import Doc, ResponseDoc, Route
from api.reference import openapi
from api.reference.page import page
from engine.common.json_forms import is_id_name
from tests.kit.consoles import Console

# Pages for people; they are not part of the API.
PAGES = {("GET", "/docs"), ("GET", "/docs.css")} | {
    (route.method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route.rule))
    for route in DashboardRoutes().routes()
}


async def document(console: Console) -> dict[str, Any]:
    response = await console.call("GET", "/openapi.json", key="")
    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json"
    openapi_document: dict[str, Any] = response.json
    return openapi_document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


async def undocumented(console: Console) -> set[tuple[str, str]]:
    """Return (method, path) of each route that the document lacks."""
    documented = {(method, path) for method, path, _ in operations(await document(console))}
    routes = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in console.app.url_map.iter_rules()
        for method in rule.methods or ()
        if method not in ("HEAD", "OPTIONS")
    }
    assert documented <= routes
    return routes - documented - PAGES


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


async def test_a_route_without_documentation_is_found() -> None:
    console = Console()
    console.app.add_url_rule("/v1/new", endpoint="new", methods=["POST"])
    assert await undocumented(console) == {("POST", "/v1/new")}


async def test_every_operation_is_complete() -> None:
    openapi_document = await document(Console())
    assert openapi_document["openapi"] == "3.1.0"
    ids = [operation["operationId"] for _, _, operation in operations(openapi_document)]
    assert len(ids) == len(set(ids)) > 15
    for method, path, operation in operations(openapi_document):
        operation_name = f"{method} {path}"
        assert operation["summary"], operation_name
        assert operation["tags"], operation_name
        good = [status for status in operation["responses"] if status[0] in "23"]
        assert good, operation_name
        assert len(good) < len(operation["responses"]) or not path.startswith("/v1"), operation_name
        if method in ("POST", "PATCH") and "requestBody" in operation:
            content = operation["requestBody"]["content"]
            is_json = content.keys() == {"application/json"}
            assert content["application/json"]["example"] if is_json else "image/*" in content
        for status in good:
            for kind, content in operation["responses"][status].get("content", {}).items():
                assert "schema" in content, operation_name
                assert "example" in content or path == "/openapi.json", (operation_name, kind)
        if path.startswith("/v1"):
            assert {"422", "429", "503"} <= operation["responses"].keys(), operation_name
    for variable in ("{profile_id}", "{link_id}"):
        assert any(variable in path for path in openapi_document["paths"])


async def test_every_reference_leads_somewhere() -> None:
    openapi_document = await document(Console())
    for reference in set(references(openapi_document)):
        node: Any = openapi_document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


async def test_examples_match_their_schemas() -> None:
    validators = pytest.importorskip("jsonschema_rs")
    openapi_document = await document(Console())
    seen = 0
    for _, _, operation in operations(openapi_document):
        contents = [
            c for r in operation["responses"].values() for c in r.get("content", {}).values()
        ]
        contents += operation.get("requestBody", {}).get("content", {}).values()
        for content in contents:
            if "example" in content:
                schema = content["schema"] | {"components": openapi_document["components"]}
                validators.validator_for(schema, validate_formats=True).validate(content["example"])
                seen += 1
    for response in openapi_document["components"]["responses"].values():
        (content,) = response["content"].values()
        schema = content["schema"] | {"components": openapi_document["components"]}
        validators.validator_for(schema, validate_formats=True).validate(content["example"])
    assert seen > 30


async def test_no_schema_has_an_id_that_is_a_number() -> None:
    schemas = (await document(Console()))["components"]["schemas"]
    properties = [
        (schema_name, name, text)
        for schema_name, schema in schemas.items()
        for name, property_ in schema.get("properties", {}).items()
        if is_id_name(name) and (text := str(property_))
    ]
    assert len(properties) > 30
    assert [p for p in properties if "'integer'" in p[2] or "'number'" in p[2]] == []


def test_two_operations_of_one_name_are_refused() -> None:
    async def handler() -> Any: ...

    doc = Doc(id="same", summary="Same", tag="T", responses={200: ResponseDoc("Good.")})
    routes = [Route("GET", "/a", handler, doc), Route("GET", "/b", handler, doc)]
    with pytest.raises(ValueError, match="same"):
        openapi.document(routes, version="1", url="/")


async def test_the_page_has_an_anchor_and_a_command_for_each_operation() -> None:
    console = Console()
    openapi_document = await document(console)
    response = await console.call("GET", "/docs", key="")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    html = response.body.decode()
    for method, path, operation in operations(openapi_document):
        assert f'id="{operation["operationId"]}"' in html
        assert f'href="#{operation["operationId"]}"' in html
        assert path.replace("/", "/<wbr>") in html, method
    assert html.count("curl ") == len(list(operations(openapi_document)))
    for name in openapi_document["components"]["schemas"]:
        assert f'id="schema-{name}"' in html
    assert ">List of Link<" in html
    assert "src=" not in html
    style = await console.call("GET", "/docs.css", key="")
    assert style.headers["Content-Type"] == "text/css; charset=utf-8"
    assert b"@import" not in style.body
    assert b"url(" not in style.body


async def test_the_page_escapes_texts_of_the_document() -> None:
    async def handler() -> Any: ...

    doc = Doc(
        id="x",
        summary="<b>&",
        tag="<T>",
        responses={200: ResponseDoc("<script>", str, "</code><script>")},
    )
    html = page(openapi.document([Route("GET", "/a", handler, doc)], version="<1>", url="/"), "/s")
    assert "<script>" not in html
    assert "<T>" not in html
    assert "&lt;b&gt;&amp;" in html
