"""OpenAPI 3.1 document, made of the routes' documentation and of the structs that they read and write.

This module adds what holds for many routes: the problems that follow from a body, a key or an id in the path,
the headers of conditional and idempotent requests, rate limits, request ids.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from api.http.auth import COOKIE, CSRF_HEADER
from api.http.idempotency import REPLAYED
from api.http.problems import CONTENT_TYPE, Problem
from api.http.routes import Access, Doc, ResponseDoc, Route, is_api_path, is_tagged_by_body
from api.reference.tags import TAGS
from engine.common.errors import LostUpdateError, NotFoundError
from engine.common.idempotency import HEADER as IDEMPOTENCY_KEY

VERSION: Final = "3.1.0"
_REF: Final = "#/components/schemas/{name}"
_VARIABLE: Final = re.compile(r"<(?:\w+:)?(\w+)>")
_LIST: Final = re.compile(r"ListResponse_(\w+?)(?:Response)?_")
_ID: Final = {"type": "string", "pattern": "^[1-9][0-9]{0,18}$"}
_SECURITY: Final[Mapping[Access, list[dict[str, list[str]]]]] = {
    "key": [{"key": []}, {"session": []}],
    "shared": [{"key": []}, {"session": []}, {"share": []}],
    "session": [{"session": []}],
    "optional": [{"key": []}, {"session": []}, {}],
    "public": [],
}
# Descriptions of the problems, for callers.
_PROBLEMS: Final[Mapping[int, str]] = {
    400: "The body is not JSON, or the request is malformed.",
    401: "There is no key or session, or it is unknown, expired or revoked.",
    403: "The caller's role, or the scopes of the key, do not suffice.",
    404: "The object does not exist, or the caller may not see it.",
    408: "The body did not arrive in time.",
    409: "A name is taken, a limit is reached, or a secret is not repeated; `errors` says which.",
    412: "The object has another version than `If-Match` names: it was changed meanwhile.",
    413: "The body is too large.",
    415: "The body's `Content-Type` is not `application/json`.",
    422: "Fields, parameters or headers are invalid; `errors` names every one of them.",
    429: "Too many requests; `Retry-After` says when to try again.",
    503: "A server behind this one does not answer; try again after `Retry-After` seconds.",
}
_HEADERS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "ETag": ("The object's version, to be sent as `If-Match`.", {"type": "string"}),
    "Location": (
        "The path of the new object; in a 409, of the object that this request created before.",
        {"type": "string"},
    ),
    "Retry-After": ("Seconds to wait before trying again.", {"type": "integer", "minimum": 0}),
    "WWW-Authenticate": ("The scheme of credentials to send.", {"type": "string"}),
    "X-Request-Id": ("The request's id, as logs and activity name it.", {"type": "string"}),
    "Set-Cookie": ("The session's cookie, or its deletion.", {"type": "string"}),
    REPLAYED: ("`true` if the response is that of an earlier request.", {"type": "string"}),
    "RateLimit": ("The rest of each limit, and when more is allowed.", {"type": "string"}),
    "RateLimit-Policy": ("The limits that the request counts for.", {"type": "string"}),
}
_CONDITIONS: Final[Mapping[str, dict[str, Any]]] = {
    "If-Match": {
        "name": "If-Match",
        "in": "header",
        "description": "Change the object only if it still has this `ETag`; otherwise 412.",
        "schema": {"type": "string"},
        "example": '"1"',
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "description": "Answer 304 without a body if the object still has this `ETag`.",
        "schema": {"type": "string"},
        "example": '"1"',
    },
    "Idempotency-Key": {
        "name": IDEMPOTENCY_KEY,
        "in": "header",
        "description": (
            "Any text of the caller's choice. The same request with the same key within 24 hours gets "
            "the first response and creates nothing more; another request with this key gets 422. A "
            "response with a secret is repeated only to the API key or session that got it first; "
            "otherwise 409 with the path of what was created, in `Location`."
        ),
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
        "example": "9f1c52f6-7e1b-4e0e-a2a5-52c2a4a1f0b3",
    },
    "X-Request-Id": {
        "name": "X-Request-Id",
        "in": "header",
        "description": (
            "The request's id in its response, in logs and in the activity: 1 to 64 of A-Z, a-z, 0-9, "
            "`.`, `_` and `-`. Without a valid one, the console makes an id."
        ),
        "schema": {"type": "string"},
        "example": "nightly-import-17",
    },
}


def document(routes: Sequence[Route], *, version: str, url: str) -> dict[str, Any]:
    """Return the whole document. `url` is the console's public URL.

    Raises ValueError if two routes have the same operationId.
    """
    documented = [(route, route.doc) for route in routes if route.doc is not None]
    ids = [doc.id for _, doc in documented]
    if len(set(ids)) < len(ids):
        raise ValueError(f"two routes have the same operationId: {sorted(ids)}")
    schemas = _Schemas(doc for _, doc in documented)
    paths: dict[str, dict[str, Any]] = {}
    for route, doc in documented:
        path = _VARIABLE.sub(r"{\1}", route.rule)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, doc, schemas)
    tags = list(dict.fromkeys(doc.tag for _, doc in documented))
    return {
        "openapi": VERSION,
        "info": {
            "title": "Waypost",
            "version": version,
            "description": _INTRODUCTION,
            "contact": {
                "name": "The operator of this engine",
                **({"url": url} if url.startswith("http") else {}),
            },
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": url}],
        "tags": [{"name": tag, "description": TAGS.get(tag, "")} for tag in tags],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "parameters": dict(_CONDITIONS),
            "headers": {
                name: {"description": description, "schema": schema}
                for name, (description, schema) in _HEADERS.items()
            },
            "responses": {_response_name(s): _problem(s) for s in _PROBLEMS},
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


_INTRODUCTION: Final = (
    "JSON over HTTP. Ids are strings, times are RFC 3339 in UTC with `Z`. Lists have pages, by `cursor` and "
    "`limit`. Reads send an `ETag`; changes honour `If-Match`, creates honour "
    "`Idempotency-Key`. Errors are problem details (RFC 9457) that name every bad field at once. "
    "A method that a path does not take gets 405, and `Allow` names those that it takes."
)
_SECURITY_SCHEMES: Final = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key: `Authorization: Bearer wp_…`.",
    },
    "share": {
        "type": "http",
        "scheme": "bearer",
        "description": "The token of a share: `Authorization: Bearer wpr_…`. It reads, within its bounds.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": f"The dashboard's session. Every change needs `{CSRF_HEADER}`, too.",
    },
}


class _Schemas:
    """Schemas of all structs: the components, and a reference to each."""

    def __init__(self, docs: Iterable[Doc]) -> None:
        types: list[Any] = [Problem]
        for doc in docs:
            types += [a.model for a in doc.responses.values() if a.model is not None]
            types += [] if doc.body is None else [doc.body]
            types += [parameter.schema for parameter in doc.query]
        unique = list({repr(type_): type_ for type_ in types}.values())
        schemas, components = msgspec.json.schema_components(unique, ref_template=_REF)
        names = {name: _component_name(name) for name in components}
        # A title is the name, because generators make their classes of titles.
        self.components = {
            names[name]: _renamed(schema, names) | {"title": names[name]}
            for name, schema in components.items()
        }
        self._schemas: dict[str, dict[str, Any]] = {
            repr(type_): _renamed(schema, names)
            for type_, schema in zip(unique, schemas, strict=True)
        }

    def of(self, type_: Any) -> dict[str, Any]:
        """Return the schema of a type, a `$ref` for a struct."""
        return self._schemas[repr(type_)]

    def of_body(self, type_: Any) -> dict[str, Any]:
        """Return the schema of a request's body, and forbid unknown fields in it."""
        schema = self.of(type_)
        name = schema.get("$ref", "").rpartition("/")[2]
        if name in self.components:
            self.components[name].setdefault("additionalProperties", False)
        return schema


def _component_name(name: str) -> str:
    """Return a name without punctuation: `ListResponse_LinkResponse_` is a `LinkList`."""
    match = _LIST.fullmatch(name)
    return name if match is None else f"{match[1]}List"


def _renamed(node: Any, names: Mapping[str, str]) -> Any:
    """Return the schema with its references to components changed to their new names."""
    if isinstance(node, dict):
        return {
            key: _REF.format(name=names[value.rpartition("/")[2]])
            if key == "$ref"
            else _renamed(value, names)
            for key, value in node.items()
        }
    return [_renamed(item, names) for item in node] if isinstance(node, list | tuple) else node


_FILE_FORM: Final = {
    "schema": {
        "type": "object",
        "properties": {
            "file": {"type": "string", "contentMediaType": "application/octet-stream"},
        },
        "required": ["file"],
    }
}


def _operation(route: Route, doc: Doc, schemas: _Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": doc.id,
        "summary": doc.summary,
        "tags": [doc.tag],
        "parameters": _parameters(route, doc, schemas),
        "responses": _responses(route, doc, schemas),
        "security": _SECURITY[route.access],
    }
    if doc.description:
        operation["description"] = doc.description
    if doc.body is not None:
        content = {"schema": schemas.of_body(doc.body), "example": doc.body_example}
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    elif doc.body_types:
        operation["requestBody"] = {
            "required": True,
            "content": {type_: _FILE_FORM if "form" in type_ else {} for type_ in doc.body_types},
        }
    return operation


def _parameters(route: Route, doc: Doc, schemas: _Schemas) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": doc.paths.get(name, f"The id of a {name.removesuffix('_id')}."),
            "schema": _ID if name.endswith("_id") else {"type": "string", "minLength": 1},
        }
        for name in _VARIABLE.findall(route.rule)
    ]
    for parameter in doc.query:
        described = {
            "name": parameter.name,
            "in": "query",
            "description": parameter.description,
            "schema": schemas.of(parameter.schema),
        }
        if parameter.example is not None:
            described["example"] = parameter.example
        parameters.append(described)
    honoured = {
        "If-None-Match": doc.tagged or is_tagged_by_body(route),
        "If-Match": doc.guarded,
        "Idempotency-Key": doc.idempotent,
        "X-Request-Id": True,
    }
    parameters += [
        {"$ref": f"#/components/parameters/{name}"}
        for name, is_honoured in honoured.items()
        if is_honoured
    ]
    return parameters


def _responses(route: Route, doc: Doc, schemas: _Schemas) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, response_doc in doc.responses.items():
        names = {*response_doc.headers, "X-Request-Id", "RateLimit", "RateLimit-Policy"}
        names |= {"ETag"} if doc.tagged or (status == 200 and is_tagged_by_body(route)) else set()
        names |= {REPLAYED} if doc.idempotent else set()
        responses[str(status)] = _success(response_doc, names, schemas)
    if doc.tagged or is_tagged_by_body(route):
        responses["304"] = {
            "description": "Nothing has changed since the answer whose tag `If-None-Match` names.",
            "headers": _headers(("ETag", "X-Request-Id")),
        }
    for status in sorted(statuses(route, doc) - doc.responses.keys()):
        responses[str(status)] = {"$ref": f"#/components/responses/{_response_name(status)}"}
    return responses


def statuses(route: Route, doc: Doc) -> set[int]:
    """Return the statuses of the problems that a route can answer."""
    problems = {429, *doc.errors}
    if is_api_path(route.rule):
        problems |= {422, 503}
        if route.access != "public":
            problems.add(403)
        if route.access in ("key", "shared", "session"):
            problems.add(401)
    if _VARIABLE.search(route.rule):
        problems.add(404)
    if doc.body_types:
        problems |= {400, 408, 413}
    if doc.body is not None:
        problems |= {400, 408, 413, 415, 422}
    if doc.guarded:
        problems.add(412)
    return problems


def _success(doc: ResponseDoc, headers: Iterable[str], schemas: _Schemas) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": doc.description,
        "headers": _headers(sorted(headers)),
    }
    if doc.model is not None:
        content = {"schema": schemas.of(doc.model)}
        if doc.example is not None:
            content["example"] = doc.example
        response["content"] = {doc.content_type: content}
        for binary in doc.binary_types:
            response["content"][binary] = {
                "schema": {"type": "string", "format": "binary"},
                "example": "(bytes)",
            }
    return response


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _response_name(status: int) -> str:
    return HTTPStatus(status).phrase.replace(" ", "")


def _problem(status: int) -> dict[str, Any]:
    phrase = HTTPStatus(status).phrase
    example: dict[str, Any] = {
        "type": f"urn:waypost:problem:{phrase.lower().replace(' ', '-')}",
        "title": phrase,
        "status": status,
        "detail": _EXAMPLES.get(status, _PROBLEMS[status].rstrip(".").lower()),
    }
    if status in _FIELDS:
        example["errors"] = [_FIELDS[status]]
    headers = {
        401: ("WWW-Authenticate",),
        409: ("Location",),
        429: ("Retry-After",),
        503: ("Retry-After",),
    }
    return {
        "description": _PROBLEMS[status],
        "headers": _headers((*headers.get(status, ()), "X-Request-Id")),
        "content": {
            CONTENT_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}, "example": example}
        },
    }


_EXAMPLES: Final = {
    401: "this key is unknown",
    403: "this key does not have the scope 'write'",
    404: str(NotFoundError.of("profile")),
    409: "handle: is taken",
    412: str(LostUpdateError(3)),
    422: "slug: must have only letters, digits, '-' and '_'",
    429: "too many requests; try again in 2 s",
}
_FIELDS: Final = {
    409: {"field": "handle", "reason": "is taken"},
    422: {"field": "slug", "reason": "must have only letters, digits, '-' and '_'"},
}
