"""Each field of a link, whichever there are: documented, refused by its name, in files, explained."""

from typing import Any

import pytest

from api.links.explained_options import EFFECTS
from engine.links.imports.columns import COLUMNS
from engine.links.options import OPTION_FIELDS, Utm
from tests.architecture.sources import ROOT
from tests.kit.consoles import Console
from tests.kit.link_fields import BAD, FIELDS, GOOD, GOOD_TOGETHER, TARGET, body_of

# Where a link's fields have other names.
SHOWN_AS = {"password": "has_password"}
IN_FILES = {"password": {"password_hash"}, "utm": {f"utm_{n}" for n in Utm.__struct_fields__}}


async def new_link(console: Console) -> dict[str, Any]:
    profile = await console.profile()
    return await console.link(profile["id"])


def described(schema: dict[str, Any]) -> str:
    """Return the description of a schema, or of its choices."""
    choices = [schema, *schema.get("anyOf", ())]
    return "".join(choice.get("description", "") for choice in choices)


def test_no_field_is_forgotten_here() -> None:
    assert GOOD.keys() | GOOD_TOGETHER.keys() == set(FIELDS) == BAD.keys()


async def test_each_field_is_described_in_the_reference_and_in_the_documents() -> None:
    schemas = (await Console().call("GET", "/openapi.json", key="")).json["components"]["schemas"]
    requests = [schema for name, schema in schemas.items() if "LinkDraft" in name]
    assert requests
    documents = "".join((ROOT / "docs" / name).read_text() for name in ("links.md", "api.md"))
    for field in FIELDS:
        for schema in requests:
            assert len(described(schema["properties"][field])) > 10, field
        assert SHOWN_AS.get(field, field) in schemas["LinkResponse"]["properties"]
        assert f"`{field}`" in documents, field


async def test_a_bad_value_of_each_field_is_refused_by_the_fields_name() -> None:
    console = Console()
    before = await new_link(console)
    path, links = f"/v1/links/{before['id']}", f"/v1/profiles/{before['profile_id']}/links"
    wrong_type: Any = {"no": []}
    for field in FIELDS:
        for value in (BAD[field], wrong_type):
            for method, at, body in (
                ("PATCH", path, {field: value}),
                ("POST", links, {"target": TARGET, field: value}),
            ):
                refused = (await console.call(method, at, body)).problem(422)
                names = {name.partition(".")[0].partition("[")[0] for name in refused}
                assert names == {field}
    assert (await console.call("GET", path)).json == before


def test_each_field_has_a_column_in_files() -> None:
    for field in FIELDS:
        assert IN_FILES.get(field, {field}) <= set(COLUMNS)


def test_each_option_has_an_effect_that_is_explained() -> None:
    assert set(OPTION_FIELDS) < EFFECTS.keys() < set(FIELDS)


@pytest.mark.parametrize("field", EFFECTS)
async def test_the_effect_of_an_option_is_explained_where_a_link_has_it(field: str) -> None:
    console = Console()
    path = f"/v1/links/{(await new_link(console))['id']}"
    assert (await console.call("GET", f"{path}/explain")).json["effects"] == []
    changed = await console.call("PATCH", path, body_of(field))
    assert changed.status == 200, changed.body
    effects = (await console.call("GET", f"{path}/explain")).json["effects"]
    assert {each["option"] for each in effects} == body_of(field).keys() & EFFECTS.keys()
    (effect,) = (each["effect"] for each in effects if each["option"] == field)
    assert effect
    assert "correct horse" not in effect
