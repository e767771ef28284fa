"""Drafts and versions of pages over the API: written, guarded, published, listed and restored."""

from typing import Any

from tests.kit.consoles import Console

PAGE: dict[str, Any] = {"name": "Ada", "blocks": [{"kind": "heading", "text": "Work"}]}


async def page_path(console: Console) -> str:
    return f"/v1/profiles/{(await console.profile())['id']}/page"


async def test_a_draft_is_read_changed_published_and_restored() -> None:
    console = Console()
    path = await page_path(console)
    begun = await console.call("GET", f"{path}/draft")
    assert (begun.status, begun.json["version"], begun.json["blocks"]) == (200, 0, [])
    tag = begun.headers["ETag"]
    assert (await console.call("GET", f"{path}/draft", If_None_Match=tag)).status == 304

    # A client changes what it has read, and sends all of it back.
    written = await console.call("PUT", f"{path}/draft", begun.json | PAGE, If_Match=tag)
    assert (written.status, written.json["version"], written.json["name"]) == (200, 1, "Ada")
    assert written.json["blocks"] == [{"kind": "heading", "id": "b1", "text": "Work"}]
    (await console.call("PUT", f"{path}/draft", PAGE, If_Match=tag)).problem(412)
    changes = len(console.announcer.changes)

    (await console.call("POST", f"{path}/publish", If_Match=tag)).problem(412)
    published = await console.call("POST", f"{path}/publish", If_Match=written.headers["ETag"])
    assert (published.status, published.json["number"]) == (200, 1)
    assert len(console.announcer.changes) == changes + 1
    draft = await console.call("GET", f"{path}/draft")
    assert (draft.json["published"], draft.json["is_changed"]) == (1, False)
    assert draft.headers["ETag"] != written.headers["ETag"]
    # The tag that the write gave still guards the next one: the draft has not changed.
    again = await console.call(
        "PUT", f"{path}/draft", {"name": "Bea"}, If_Match=written.headers["ETag"]
    )
    assert (again.json["version"], again.json["is_changed"]) == (2, True)

    one = await console.call("GET", published.headers["Location"])
    assert one.json["page"]["name"] == "Ada"
    listed = (await console.call("GET", f"{path}/versions")).json
    assert [item["number"] for item in listed["items"]] == [1]
    assert "page" not in listed["items"][0]
    restored = await console.call("POST", f"{path}/versions/1/restore", If_Match='"2"')
    assert (restored.json["version"], restored.json["name"]) == (3, "Ada")
    for number in ("2", "0", "x", str(2**63)):
        (await console.call("GET", f"{path}/versions/{number}")).problem(404)


async def test_errors_name_block_and_field() -> None:
    console = Console()
    path = await page_path(console)
    blocks = [{"kind": "heading", "text": ""}, {"kind": "link", "link_id": "7"}, {"kind": "spell"}]
    refused = await console.call(
        "PUT", f"{path}/draft", {"theme": "lace", "blocks": blocks, "x": 1}
    )
    assert {"theme", "blocks[0].text", "blocks[2].kind", "x"} <= refused.problem(422).keys()
    unknown = await console.call("PUT", f"{path}/draft", {"blocks": blocks[1:2]})
    assert unknown.problem(422).keys() == {"blocks[0].link_id"}
    (await console.call("PUT", f"{path}/draft?x=1", PAGE)).problem(422)


async def test_strangers_are_answered_as_if_there_were_no_page() -> None:
    console = Console()
    path = await page_path(console)
    await console.call("PUT", f"{path}/draft", PAGE)
    await console.call("POST", f"{path}/publish")
    calls: tuple[tuple[str, str, dict[str, Any] | None], ...] = (
        ("GET", "draft", None), ("PUT", "draft", PAGE), ("POST", "publish", None),
        ("GET", "versions", None), ("GET", "versions/1", None), ("POST", "versions/1/restore", None),
    )  # fmt: skip
    for method, target, body in calls:
        (await console.call(method, f"{path}/{target}", body, key="two")).problem(404)


async def test_a_draft_says_which_of_its_colours_visitors_get_in_another_shade() -> None:
    console = Console()
    path = await page_path(console)
    draft = await console.call("PUT", f"{path}/draft", {"theme": "paper", "accent": "#ffee00"})
    (correction,) = draft.json["corrections"]
    assert (correction["scheme"], correction["field"]) == ("light", "accent")
    assert correction["wanted"] == "#ffee00"
    assert correction["used"] != "#ffee00"
    assert "contrast" in correction["reason"]
    again = await console.call("PUT", f"{path}/draft", draft.json)
    assert again.json["version"] == draft.json["version"]
