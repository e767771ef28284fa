"""A file that a member sends to a running engine: its worker makes the links, and visitors follow them."""

import httpx
import pytest

from tests.kit.engines import Engine, eventually

pytestmark = pytest.mark.slow
TARGET = "https://example.com/"
ENDED = ("succeeded", "failed", "cancelled")


def sent(client: httpx.Client, profile: str, file: bytes, query: str = "") -> dict[str, object]:
    """Send a file, and return the import once it has ended."""
    answer = client.post(f"/v1/profiles/{profile}/imports{query}", content=file)
    assert answer.status_code == 202, answer.text
    location = answer.headers["Location"]
    ended = eventually(lambda: state_of(client, location) in ENDED, 30)
    assert ended
    read: dict[str, object] = client.get(location).json()
    return read


def state_of(client: httpx.Client, location: str) -> str:
    state: str = client.get(location).json()["state"]
    return state


def test_a_file_becomes_links_that_visitors_follow_and_an_export_of_it(
    running_engine: Engine,
) -> None:
    rows = [f"moved-{n},{TARGET}{n},{n % 5}\n" for n in range(2_500)]
    file = "slug,target,opening clicks\n" + "".join(rows) + f"moved-7,{TARGET}\nbad,x\n"
    with running_engine.api() as client:
        profile = client.post("/v1/profiles", json={"handle": "moved"}).json()["id"]
        dry = sent(client, profile, file.encode(), "?dry_run=true")
        assert (dry["state"], dry["created"], dry["rejected"]) == ("succeeded", 2_500, 2)
        assert client.get(f"/v1/profiles/{profile}/links").json()["items"] == []
        done = sent(client, profile, file.encode())
        assert (done["state"], done["created"], done["rejected"]) == ("succeeded", 2_500, 2)
        path = f"/v1/profiles/{profile}/imports/{done['id']}/rejects"
        lines = [(each["line"], each["first_line"]) for each in client.get(path).json()["items"]]
        assert lines == [(2_502, 9), (2_503, None)]
        export = client.get(f"/v1/profiles/{profile}/links/export?format=csv").content
        again = sent(client, profile, export)
        assert (again["unchanged"], again["rejected"]) == (2_500, 0)
        with httpx.Client(base_url=running_engine.visitors) as visitor:
            for slug in ("moved-8", "moved-8", "moved-2499"):
                location = visitor.get(f"/moved/{slug}").headers["Location"]
                assert location == TARGET + slug.removeprefix("moved-")
        running_engine.wait_committed()
        query = "sort=-clicks&include=clicks,last_click&limit=2"
        first, second = client.get(f"/v1/profiles/{profile}/links?{query}").json()["items"]
        assert [(each["slug"], each["clicks"]) for each in (first, second)] == [
            ("moved-8", 2), ("moved-2499", 1)
        ]  # fmt: skip
        assert first["last_click"]
        reset = client.post(f"/v1/links/{second['id']}/counts/reset").json()
        assert (reset["clicks"], reset["opening_clicks"]) == (0, 0)
    assert "Traceback" not in running_engine.output()
