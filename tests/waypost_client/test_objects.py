"""The client's objects have the fields of the API's."""

import ast

import msgspec

import waypost_client
from api.links.link_responses import LinkResponse
from api.links.profiles import ProfileResponse
from engine.links.link import LinkDraft
from tests.architecture.sources import ROOMS, ROOT
from waypost_client import Link, LinkFields, Profile


def names(struct: type[msgspec.Struct]) -> set[str]:
    return {field.name for field in msgspec.structs.fields(struct)}


def test_objects_have_the_fields_of_responses() -> None:
    assert names(Link) == names(LinkResponse)
    assert names(Profile) == names(ProfileResponse)


def test_requests_may_set_every_field_of_a_link() -> None:
    assert LinkFields.__optional_keys__ | {"target"} == names(LinkDraft)


def test_the_client_needs_nothing_of_the_engine() -> None:
    paths = sorted((ROOT / "waypost_client").glob("*.py"))
    assert len(paths) > 3
    for path in paths:
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), path
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                assert str(node.module).split(".")[0] not in ROOMS, path


def test_all_that_is_exported_is_there() -> None:
    assert all(hasattr(waypost_client, name) for name in waypost_client.__all__)
