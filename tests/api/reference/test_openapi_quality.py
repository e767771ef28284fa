"""What linters and generators of clients want of `/openapi.json` (spectral, redocly, openapi-python-client).

They need npm and minutes; these are their findings as assertions, so that they stay away.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import msgspec
import pytest

from api.http.key_cache import KeyCache
from api.http.routes import Doc
from api.reference import openapi
from api.reference.tags import TAGS
from tests.api.reference.test_openapi import operations, references
from tests.kit.consoles import Console

Node = dict[str, Any]


@cache
def _document() -> Node:
    console = Console()
    return openapi.document(console.routes(KeyCache(console.keys)), version="1", url="/")


@pytest.fixture
def reference() -> Node:
    return _document()


def repeated(names: Iterable[str]) -> set[str]:
    """Return the names that some generator makes one identifier of: it drops case and punctuation."""
    counts = Counter(re.sub(r"\W|_", "", name).lower() for name in names)
    return {name for name, count in counts.items() if count > 1}


def nodes(node: Any) -> Iterator[Node]:
    """Yield each object of the document."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from nodes(value)


def test_no_generated_class_is_lost(reference: Node) -> None:
    """Generators make a class of a schema's title, and of two with one title one class."""
    schemas = reference["components"]["schemas"]
    assert {name: schema["title"] for name, schema in schemas.items()} == {
        name: name for name in schemas
    }
    assert repeated(schemas) == set()
    assert all(re.fullmatch(r"[A-Z][A-Za-z]+", name) for name in schemas)
    assert repeated(o["operationId"] for _, _, o in operations(reference)) == set()


def test_no_generated_argument_is_lost(reference: Node) -> None:
    shared = reference["components"]["parameters"]
    for method, path, operation in operations(reference):
        parameters = [
            shared[p["$ref"].rpartition("/")[2]] if "$ref" in p else p
            for p in operation["parameters"]
        ]
        assert repeated(p["name"] for p in parameters) == set(), (method, path)


def test_each_filter_and_its_operators_are_parameters(reference: Node) -> None:
    for path in ("/v1/profiles/{profile_id}/stats", "/v1/profiles/{profile_id}/stats/export"):
        names = {p.get("name") for p in reference["paths"][path]["get"]["parameters"]}
        assert {"filter[country]", "filter[country][not]", "filter[city][contains]"} <= names
        assert "filter[country][contains]" not in names


def test_everything_has_a_description(reference: Node) -> None:
    assert reference["info"]["contact"].keys() == {"name"}  # a relative URL is none
    absolute = openapi.document([], version="1", url="https://console.example")
    assert absolute["info"]["contact"]["url"] == "https://console.example"
    tags = {tag["name"]: tag["description"] for tag in reference["tags"]}
    assert tags == TAGS
    for method, path, operation in operations(reference):
        assert operation.get("description"), (method, path)
        assert set(operation["tags"]) <= tags.keys()
        assert [s for s in operation["responses"] if s.startswith("4")], (method, path)
        for parameter in operation["parameters"]:
            assert parameter.get("description") or "$ref" in parameter, (method, path)


def test_every_component_is_used(reference: Node) -> None:
    used = set(references(reference))
    for kind, components in reference["components"].items():
        if kind != "securitySchemes":
            assert [n for n in components if f"#/components/{kind}/{n}" not in used] == []


def test_every_pattern_is_one_that_each_language_knows(reference: Node) -> None:
    """No `\\p{L}`: without the flag `u` it is a `p`, and Python refuses it."""
    patterns = {p for node in nodes(reference) if isinstance(p := node.get("pattern"), str)}
    assert len(patterns) > 5
    for pattern in patterns:
        assert "\\p" not in pattern
        re.compile(pattern)


def test_two_structs_of_one_name_are_two_components() -> None:
    answers = [
        msgspec.defstruct("Answer", [(module, int)], module=module) for module in ("one", "two")
    ]
    docs = [Doc(id="x", summary="", tag="", responses={}, body=answer) for answer in answers]
    components = openapi._Schemas(docs).components
    titles = {schema["title"] for schema in components.values()}
    assert titles == components.keys()
    assert len(titles) == 4  # with Problem and BadField
