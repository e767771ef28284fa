"""A page on a real engine: written, published, viewed, subscribed to, archived and erased."""

import re
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.kit.engines import Engine, eventually
from tests.kit.mail_servers import KeptMails, mail_server

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

MAIL_S = 60.0  # a few seconds on an idle machine
FRESH_S = 5.0  # a second on an idle machine
PAGE = {
    "name": "Ada Lovelace",
    "blocks": [
        {"kind": "heading", "id": "work", "text": "Notes on <engines>"},
        {"kind": "email_form", "id": "news", "title": "Letters"},
        {"kind": "email_form", "id": "mailed", "title": "News", "double_opt_in": True},
        {"kind": "contact", "id": "me", "name": "Ada", "email": "ada@example.com"},
    ],
}


@pytest.fixture(scope="module")
def mails() -> Iterator[KeptMails]:
    with mail_server() as kept:
        yield kept


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, mails: KeptMails) -> Iterator[Engine]:
    started = Engine(
        tmp_path_factory.mktemp("pages") / "data",
        WAYPOST_SMTP_URL=f"smtp+plain://127.0.0.1:{mails.port}",
        WAYPOST_MAIL_FROM="waypost@example.com",
    )
    yield started
    started.kill()


def confirm_by_mail(visitor: httpx.Client, mails: KeptMails) -> None:
    """Enter an address, and confirm it by the link of the mail."""
    form = {"block": "mailed", "email": "reader@example.net"}
    assert "One more step" in visitor.post("/@ada/subscribe", data=form).text
    eventually(lambda: mails.messages, MAIL_S)
    (mail,) = mails.messages
    assert mail["To"] == "reader@example.net"
    (path, token) = re.findall(r"(/@ada/subscribe)\?confirm=(\S+)", mail.get_content())[0]
    assert "Put my address on the list" in visitor.get(f"{path}?confirm={token}").text
    assert visitor.post(path, data={"confirm": token}).status_code == 200


def test_a_page_from_its_draft_to_its_erasure(engine: Engine, mails: KeptMails) -> None:
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
        confirm_by_mail(visitor, mails)
        listed = client.get(f"{path}/page/subscribers").json()["items"]
        assert [item["email"] for item in listed] == ["visitor@example.net", "reader@example.net"]
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
