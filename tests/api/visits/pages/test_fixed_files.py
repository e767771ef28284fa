"""Fixed files at the visitors' server."""

from datetime import UTC, datetime

import pytest

from api.visits.pages.fixed_files import FixedFiles
from engine.operations.setting import contact_url
from engine.operations.settings import Settings
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import get, served_edge

NOON_US = 1_767_268_800_000_000


@pytest.mark.trio(run=hosted_run)
async def test_files_are_served_without_a_record_or_a_query() -> None:
    async with served_edge(Settings(security_contact="mailto:security@example.com")) as edge:
        visitor = await edge.visitor()
        for path, kind, part in (
            (b"/robots.txt", "text/plain; charset=utf-8", b"User-agent: *"),
            (b"/favicon.ico", "image/png", b"\x89PNG\r\n"),
            (b"/waypost.js", "text/javascript; charset=utf-8", b"pixel.gif"),
            (
                b"/.well-known/security.txt",
                "text/plain; charset=utf-8",
                b"Contact: mailto:security@example.com\nExpires: 2026-04-01T00:00:00Z\n",
            ),
        ):
            response = await visitor.request(get(path))
            assert (response.status, response.headers["content-type"]) == (200, kind)
            assert part in response.body
            assert response.headers["cache-control"] == "public, max-age=3600"
            head = await visitor.request(get(path, method=b"HEAD"))
            assert head.headers["content-length"] == str(len(response.body))
        assert (edge.journal.records, edge.profiles.queries) == ([], [])


@pytest.mark.trio(run=hosted_run)
async def test_without_a_contact_there_is_no_security_txt() -> None:
    async with served_edge() as edge:
        visitor = await edge.visitor()
        assert (await visitor.request(get(b"/.well-known/security.txt"))).status == 404


def test_security_txt_is_valid_for_as_long_each_day() -> None:
    files = FixedFiles("https://example.com/report")
    for day in (0, 1, 400):
        at_us = NOON_US + day * 86_400_000_000
        response = files.response(b"/.well-known/security.txt", at_us)
        assert response is not None
        expires = datetime.fromisoformat(response.split(b"Expires: ")[1].decode().strip())
        left = expires - datetime.fromtimestamp(at_us / 1_000_000, UTC)
        assert left.days == 89


@pytest.mark.parametrize("text", ["", "mailto:a@b.example", "https://b.example/x"])
def test_a_contact_is_a_url(text: str) -> None:
    assert contact_url(text) == text


@pytest.mark.parametrize("text", ["a@b.example", "http://b.example", "mailto:a@b.example\nX: y"])
def test_a_contact_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a URL"):
        contact_url(text)
