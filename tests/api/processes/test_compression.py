"""Answers of the API, compressed for whoever takes gzip, and only where that is worth it and right."""

import gzip

import pytest

from api.processes import compression
from tests.kit.consoles import Console


async def with_links(count: int) -> tuple[Console, str]:
    console = Console()
    profile = (await console.profile())["id"]
    for number in range(count):
        await console.link(profile, f"l{number}")
    return console, f"/v1/profiles/{profile}/links"


@pytest.mark.parametrize("inline", [compression.MAX_INLINE_BYTES, 1_500])
async def test_a_long_answer_is_compressed_and_is_the_same(
    monkeypatch: pytest.MonkeyPatch, inline: int
) -> None:
    monkeypatch.setattr(compression, "MAX_INLINE_BYTES", inline)
    console, path = await with_links(5)
    plain = await console.call("GET", path)
    assert "Content-Encoding" not in plain.headers
    sent = await console.call("GET", path, Accept_Encoding="br, gzip")
    assert sent.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(sent.body) == plain.body
    assert len(sent.body) * 3 < len(plain.body)
    assert int(sent.headers["Content-Length"]) == len(sent.body)
    for answered in (plain, sent):
        assert "Accept-Encoding" in answered.headers["Vary"]
        assert answered.headers["ETag"] == plain.headers["ETag"]
    again = await console.call(
        "GET", path, Accept_Encoding="gzip", If_None_Match=sent.headers["ETag"]
    )
    assert (again.status, again.body) == (304, b"")


async def test_a_short_answer_or_one_with_a_strong_tag_stays_as_it_is() -> None:
    console, path = await with_links(1)
    link = (await console.call("GET", path)).json["items"][0]["id"]
    notes = {"notes": "n" * 1_500}
    await console.call("PATCH", f"/v1/links/{link}", notes)
    for each in ("/v1/profiles", f"/v1/links/{link}"):
        answered = await console.call("GET", each, Accept_Encoding="gzip")
        assert "Content-Encoding" not in answered.headers, each
        assert answered.json


async def test_a_client_that_refuses_gzip_gets_none() -> None:
    console, path = await with_links(5)
    for accepted in ("gzip;q=0", "identity", "br"):
        answered = await console.call("GET", path, Accept_Encoding=accepted)
        assert "Content-Encoding" not in answered.headers
    head = await console.call("HEAD", path, Accept_Encoding="gzip")
    assert "Content-Encoding" not in head.headers
