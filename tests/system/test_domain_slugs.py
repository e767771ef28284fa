"""Slugs that a domain allows, on a running engine: from the API to visitors, and into the log."""

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from storage.embedded import EmbeddedServers
from tests.conftest import on_connection
from tests.kit.engines import Engine, eventually

if TYPE_CHECKING:
    import asyncpg

pytestmark = pytest.mark.slow
HOST = "slugs.example.com"
TARGET = "https://example.com/"
GIFT = "%F0%9F%8E%81"


def test_slugs_of_a_domain_reach_visitors_and_keep_its_rules(running_engine: Engine) -> None:
    engine = running_engine

    def lead(path: str, host: str = HOST) -> str | int:
        """Return where a path leads, or the status without a target."""
        answer = httpx.get(engine.visitors + path, headers={"Host": host}, follow_redirects=False)
        return answer.headers.get("location") or answer.status_code

    with engine.api() as client:
        profile: Any = client.post("/v1/profiles", json={"handle": "domain-slugs"}).json()
        links, domains = (f"/v1/profiles/{profile['id']}/{each}" for each in ("links", "domains"))
        body = {"slug": "Guide/v1.2", "target": TARGET}
        assert client.post(links, json=body).status_code == 422
        wanted = {"host": HOST, "slugs": ["case_sensitive", "slashes", "dots", "emoji"]}
        domain = client.post(domains, json=wanted).json()
        for number, slug in enumerate(("Guide/v1.2", "guide/v1.2", "\U0001f381")):
            created = client.post(links, json={"slug": slug, "target": f"{TARGET}{number}"})
            assert created.status_code == 201, created.text
        on_connection(EmbeddedServers(engine.folder).database_url, verify)
        eventually(lambda: lead("/Guide/v1.2") == f"{TARGET}0")
        assert lead("/guide/v1.2") == f"{TARGET}1"
        assert lead(f"/{GIFT}") == lead(f"/{GIFT}%EF%B8%8F") == f"{TARGET}2"
        assert lead("/GUIDE/v1.2") == 404
        assert lead("/~domain-slugs/Guide/v1.2", "localhost") == f"{TARGET}0"
        assert lead("/domain-slugs/Guide/v1.2", "localhost") == 404

        path = f"/v1/domains/{domain['id']}"
        refused = client.patch(path, json={"slugs": ["slashes", "dots", "emoji"]})
        assert refused.status_code == 409
        assert "Guide/v1.2" in refused.json()["errors"][0]["reason"]
        assert client.delete(path).status_code == 409
        capital = created_link(client, links, "Guide/v1.2")
        assert client.delete(f"/v1/links/{capital}").status_code == 204
        changed = client.patch(path, json={"slugs": ["slashes", "dots", "emoji"]})
        assert changed.json()["slugs"] == ["slashes", "dots", "emoji"]
        eventually(lambda: lead("/Guide/v1.2") == f"{TARGET}1")

        entries = client.get(f"/v1/profiles/{profile['id']}/activity").json()["items"]
        logged = next(entry for entry in entries if entry["action"] == "domain.updated")
        assert logged["before"]["slugs"] == wanted["slugs"]
        assert logged["after"]["slugs"] == ["slashes", "dots", "emoji"]
        assert client.delete(f"/v1/profiles/{profile['id']}").status_code == 204
        eventually(lambda: lead("/guide/v1.2") != f"{TARGET}1")


def created_link(client: httpx.Client, links: str, slug: str) -> str:
    """Return the id of the link with this slug."""
    items = client.get(links).json()["items"]
    return next(str(link["id"]) for link in items if link["slug"] == slug)


async def verify(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    done = await connection.execute(
        "UPDATE waypost.domains SET state = 'verified', verified_at = now() WHERE host = $1", HOST
    )
    assert done == "UPDATE 1"
