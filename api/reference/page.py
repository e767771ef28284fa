"""Reference page: HTML made of the OpenAPI document only."""

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final

_METHODS: Final = ("get", "post", "put", "patch", "delete")
_CODE: Final = re.compile(r"`([^`]+)`")
_EVERYWHERE: Final = "X-Request-Id"  # described once, in the introduction
_EXAMPLE_ID: Final = "365072220160000001"
Node = Mapping[str, Any]


def page(document: Node, style: str) -> str:
    """Return the whole page. `style` is the path of its stylesheet."""
    title = escape(document["info"]["title"])
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title} API</title>\n"
        f'<link rel="stylesheet" href="{escape(style)}">\n</head>\n<body>\n'
        f"{_navigation(document)}\n<main>\n{_introduction(document)}\n"
        f"{''.join(_tag(document, tag['name']) for tag in document['tags'])}"
        f"{_schemas(document)}</main>\n</body>\n</html>\n"
    )


def _navigation(document: Node) -> str:
    groups = []
    for tag in document["tags"]:
        items = "".join(
            f'<li><a href="#{escape(operation["operationId"])}">{_badge(method)}'
            f"{escape(operation['summary'])}</a></li>"
            for method, _, operation in _operations(document, tag["name"])
        )
        groups.append(f"<h2>{escape(tag['name'])}</h2><ul>{items}</ul>")
    return (
        '<nav aria-label="Contents"><a class="home" href="#top">Waypost API</a>'
        f"<details open><summary>Contents</summary>{''.join(groups)}"
        '<h2>More</h2><ul><li><a href="#errors">Errors</a></li><li><a href="#schemas">Schemas</a></li>'
        '<li><a href="/openapi.json">OpenAPI document</a></li></ul></details></nav>'
    )


def _introduction(document: Node) -> str:
    info, server = document["info"], document["servers"][0]["url"]
    id_description = document["components"]["parameters"][_EVERYWHERE]["description"]
    id_description = id_description[:1].lower() + id_description[1:]
    schemes = "".join(
        f"<dt><code>{escape(name)}</code></dt><dd>{_prose(scheme['description'])}</dd>"
        for name, scheme in document["components"]["securitySchemes"].items()
    )
    problems = "".join(
        f"<dt><code>{example['status']}</code> {escape(example['title'])}</dt>"
        f"<dd>{_prose(response['description'])}</dd>"
        for response in document["components"]["responses"].values()
        for content in response["content"].values()
        for example in [content["example"]]
    )
    return (
        f'<header id="top"><h1>{escape(info["title"])} API <small>{escape(info["version"])}</small></h1>'
        f"<p>{_prose(info['description'])}</p>"
        f"<p>Every call takes <code>{_EVERYWHERE}</code>: {_prose(id_description)}</p>"
        f"<p>Base URL: <code>{escape(server)}</code></p>"
        f"<h2>Authentication</h2><dl>{schemes}</dl></header>"
        f'<section id="errors"><h2>Errors</h2><dl class="problems">{problems}</dl></section>'
    )


def _tag(document: Node, tag: str) -> str:
    operations = "".join(
        _operation(document, method, path, operation)
        for method, path, operation in _operations(document, tag)
    )
    (description,) = (t["description"] for t in document["tags"] if t["name"] == tag)
    return f"<section><h2>{escape(tag)}</h2><p>{_prose(description)}</p>{operations}</section>\n"


def _operation(document: Node, method: str, path: str, operation: Node) -> str:
    id_ = escape(operation["operationId"])
    parameters = [_resolved(document, p) for p in operation["parameters"]]
    parameters = [p for p in parameters if p["name"] != _EVERYWHERE]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    parts = [
        f'<article id="{id_}"><h3><a href="#{id_}">{escape(operation["summary"])}</a></h3>'
        f'<p class="route">{_badge(method)}<code>{_path(path)}</code></p>'
    ]
    if "description" in operation:
        parts.append(f"<p>{_prose(operation['description'])}</p>")
    parts.append(f"<p class=access>{_access(operation['security'])}</p>")
    if parameters:
        parts.append(f"<h4>Parameters</h4>{_parameter_table(parameters)}")
    if body is not None:
        parts.append(f"<h4>Request</h4><p>{_type(body['schema'])}</p>{_json(body['example'])}")
    parts.append(
        f"<h4>As a command</h4><pre><code>{escape(_curl(document, method, path, operation))}"
    )
    parts.append(f"</code></pre><h4>Responses</h4>{_responses(document, operation)}</article>\n")
    return "".join(parts)


def _parameter_table(parameters: Iterable[Node]) -> str:
    rows = "".join(
        f"<tr><th scope=row><code>{escape(p['name'])}</code><small>{escape(p['in'])}"
        f"{', required' if p.get('required') else ''}</small></th>"
        f"<td>{_prose(p['description'])} <small>{_type(p['schema'])}</small></td></tr>"
        for p in parameters
    )
    return f"<table><tbody>{rows}</tbody></table>"


def _responses(document: Node, operation: Node) -> str:
    successes, problems = [], []
    for status, node in operation["responses"].items():
        response = _resolved(document, node)
        if "$ref" in node:
            problems.append(
                f'<a href="#errors" title="{escape(response["description"])}">{status}</a>'
            )
            continue
        text = f"<p><code>{status}</code> {_prose(response['description'])}"
        for kind, content in response.get("content", {}).items():
            text += f" {_type(content['schema'])} <small>{escape(kind)}</small></p>"
            text += _json(content["example"]) if "example" in content else ""
        names = ", ".join(f"<code>{escape(name)}</code>" for name in response.get("headers", ()))
        successes.append(text + (f"<p><small>Headers: {names}</small></p>" if names else ""))
    errors = f"<p class=errors>Problems: {' '.join(problems)}</p>" if problems else ""
    return "".join(successes) + errors


def _schemas(document: Node) -> str:
    parts = []
    for name, schema in document["components"]["schemas"].items():
        required = schema.get("required", ())
        rows = "".join(
            f"<tr><th scope=row><code>{escape(field)}</code>"
            f"<small>{'required' if field in required else ''}</small></th>"
            f"<td>{_prose(shape.get('description', ''))} <small>{_type(shape)}</small></td></tr>"
            for field, shape in schema.get("properties", {}).items()
        )
        words = f"<p>{_prose(schema['description'])}</p>" if "description" in schema else ""
        parts.append(
            f'<article id="schema-{escape(name)}"><h3>{escape(_schema_name(name))}</h3>{words}'
            f"<table><tbody>{rows}</tbody></table></article>"
        )
    return f'<section id="schemas"><h2>Schemas</h2>{"".join(parts)}</section>'


def _curl(document: Node, method: str, path: str, operation: Node) -> str:
    """Return a command to paste into a shell in which WAYPOST_KEY is set."""
    server = document["servers"][0]["url"].rstrip("/")
    url = server + re.sub(r"\{\w+\}", _EXAMPLE_ID, path)
    words = ["curl", *([] if method == "get" else ["-X", method.upper()]), shlex.quote(url)]
    lines = [" ".join(words)]
    if operation["security"]:
        lines.append('-H "Authorization: Bearer $WAYPOST_KEY"')
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None:
        lines.append("-H 'Content-Type: application/json'")
        lines.append(f"-d {shlex.quote(json.dumps(body['example'], ensure_ascii=False))}")
    return " \\\n  ".join(lines)


def _type(schema: Node) -> str:
    """Return a schema in words, with links to named schemas."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#schema-{escape(name)}">{escape(_schema_name(name))}</a>'
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            return " or ".join(_type(alternative) for alternative in schema[keyword])
    if "enum" in schema:
        return " | ".join(f"<code>{escape(json.dumps(value))}</code>" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    word = escape(str(schema.get("format") or schema.get("type") or "anything"))
    bounds = [
        f"{words} {schema[key]}"
        for key, words in (
            ("minimum", "from"),
            ("maximum", "to"),
            ("minLength", "at least"),
            ("maxLength", "at most"),
        )
        if key in schema
    ]
    if "default" in schema:
        bounds.append(f"if left out: {json.dumps(schema['default'])}")
    return word + (f" ({escape(', '.join(bounds))})" if bounds else "")


def _operations(document: Node, tag: str) -> list[tuple[str, str, Node]]:
    return [
        (method, path, methods[method])
        for path, methods in document["paths"].items()
        for method in _METHODS
        if method in methods and tag in methods[method]["tags"]
    ]


def _resolved(document: Node, node: Node) -> Node:
    if "$ref" not in node:
        return node
    target: Any = document
    for part in node["$ref"].removeprefix("#/").split("/"):
        target = target[part]
    resolved: Node = target
    return resolved


def _access(security: list[Node]) -> str:
    if not security:
        return "Takes no credentials."
    optional = "" if all(security) else ", or without credentials"
    names = " or ".join(f"<code>{escape(name)}</code>" for schemes in security for name in schemes)
    return f"Takes {names}{optional}."


def _json(example: Any) -> str:
    text = (
        example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
    )
    return f"<pre><code>{escape(text)}</code></pre>"


def _schema_name(name: str) -> str:
    """Return a short name: a `LinkList` is a list page of links, a `LinkResponse` a link."""
    if name.endswith("List"):
        return f"List of {name.removesuffix('List')}"
    return name.removesuffix("Response")


def _path(path: str) -> str:
    """Return a path with places where a narrow screen may break it."""
    return escape(path).replace("/", "/<wbr>")


def _badge(method: str) -> str:
    return f'<b class="{method}">{method.upper()}</b>'


def _prose(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text))
