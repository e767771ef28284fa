"""A page on a real engine: written, published, viewed, subscribed to, archived and erased."""

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.kit.engines import Engine, eventually

pytestmark = pytest.mark.slow

FRESH_S = 5.0  # a second on an idle machine
PAGE = {
    "name": "Ada Lovelace",
    "blocks": [
        {"kind": "heading", "id": "work", "text": "Notes on <engines>"},
        {"kind": "email_form", "id": "news", "title": "Letters"},
        {"kind": "contact", "id": "me", "name": "Ada", "email": "ada@example.com"},
    ],
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    started = Engine(tmp_path_factory.mktemp("pages") / "data")
    yield started
    started.kill()


def test_a_page_from_its_draft_to_its_erasure(engine: Engine) -> None:
    with engine.api() as client, httpx.Client(base_url=engine.visitors, timeout=10) as visitor:
        made = client.post("/v1/profiles", json={"handle": "ada"}).json()
        path = f"/v1/profiles/{made['id']}"
        assert visitor.get("/@ada").status_code == 200  # resident from here on
        draft = client.put(f"{path}/page/draft", json=PAGE)
        assert draft.status_code == 200, draft.text
        assert "&lt;engines&gt;" in client.get(f"{path}/page/preview").text
        published_at = time.monotonic()
        published = client.post(f"{path}/page/publish", headers={"If-Match": draft.headers["ETag"]})
        assert published.json()["number"] == 1
        eventually(lambda: "Ada Lovelace" in visitor.get("/@ada").text)
        assert time.monotonic() - published_at < FRESH_S
        page = visitor.get("/@ada")
        assert page.headers["Content-Encoding"] in ("br", "gzip")
        again = visitor.get("/@ada", headers={"If-None-Match": page.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert "FN:Ada" in visitor.get("/@ada/contact-me.vcf").text

        for _ in range(2):
            form = {"block": "news", "email": "visitor@example.net"}
            assert visitor.post("/@ada/subscribe", data=form).status_code == 200
        listed = client.get(f"{path}/page/subscribers").json()["items"]
        assert [item["email"] for item in listed] == ["visitor@example.net"]
        rows = client.get(f"{path}/page/subscribers-export").text.splitlines()
        assert rows[0] == "email,block,subscribed_at"
        assert rows[1].startswith("visitor@example.net,news,")
        archive = client.get(f"{path}/archive").text
        for table in ("page_drafts", "page_versions", "page_subscribers"):
            assert f'{{"table":"{table}"' in archive
        actions = [entry["action"] for entry in client.get(f"{path}/activity").json()["items"]]
        assert {"page.created", "page.published"} <= set(actions)

        erased = client.post(f"{path}/erasure")
        assert erased.status_code in (200, 202), erased.text
        eventually(lambda: visitor.get("/@ada").status_code == 404)
        assert "Traceback" not in engine.output()
