"""Kinds of visitors' requests: plain heads, reproducible, with what the kind names."""

import re

import pytest

from bench.kit.link_set import sample_links
from bench.rounds import visitor_traffic
from bench.rounds.visitor_traffic import TRAFFIC, heads_for, template
from engine.visits.classifier import judge

LINKS = sample_links(40)


def heads(kind: str) -> list[str]:
    text = heads_for(template(kind, LINKS), "go.example", close=False).decode()
    return [f"{head}\r\n\r\n" for head in text.split("\r\n\r\n")[:-1]]


def field(head: str, name: str) -> str:
    (value,) = re.findall(rf"(?m)^{name}: (.*)\r$", head)
    return str(value)


@pytest.fixture(autouse=True)
def few_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make fewer requests, of fewer agents."""
    few = {kind: traffic._replace(requests=1_000) for kind, traffic in TRAFFIC.items()}
    monkeypatch.setattr(visitor_traffic, "TRAFFIC", few)


@pytest.mark.parametrize("kind", TRAFFIC)
def test_heads_are_reproducible_and_cycle_over_the_links(kind: str) -> None:
    assert template(kind, LINKS) == template(kind, LINKS)
    requests = heads(kind)
    assert len(requests) == 1_000
    for number, head in enumerate(requests):
        path = head.split(" ")[1].partition("?")[0]
        assert path == LINKS[number % 40].path
        assert field(head, "Host") == "go.example"
        assert field(head, "Connection") == "keep-alive"
        assert judge(field(head, "User-Agent")).counted


def test_a_closed_connection_is_all_that_differs() -> None:
    text = template("varying", LINKS)
    kept = heads_for(text, "h", close=False)
    closed = heads_for(text, "h", close=True)
    assert closed.count(b"\r\nConnection: close\r\n") == 1_000
    assert closed.replace(b"Connection: close", b"Connection: keep-alive") == kept


def test_each_kind_varies_what_it_names() -> None:
    def values(kind: str, name: str) -> set[str]:
        return {field(head, name) for head in heads(kind)}

    assert len(values("same", "User-Agent")) == 1
    assert 50 < len(values("varying", "User-Agent")) < 200
    assert len(values("agents", "User-Agent")) > 500
    assert len(values("agents", "Accept-Language")) > 200
    assert len(values("agents", "Referer")) > 300
    assert len(values("proxy", "X-Forwarded-For")) > 990
    pages = values("page-clicks", "Referer")
    assert {page.partition("?")[0] for page in pages} == {"http://go.example/@creator0000"}
    assert "http://go.example/@creator0000" in pages
    assert values("page-clicks", "Sec-Fetch-Site") == {"same-origin"}
    queries = {head.split(" ")[1].partition("?")[2] for head in heads("campaign")}
    assert len(queries) > 900
    assert all(query.count("utm_") == 3 for query in queries)


def test_the_tail_has_50000_agents_by_zipfs_law() -> None:
    agents = visitor_traffic._tail()
    assert len(set(agents)) == visitor_traffic.AGENTS == 50_000
    first, second = visitor_traffic._WEIGHTS[0], visitor_traffic._WEIGHTS[1]
    assert (second - first) / first == pytest.approx(2**-0.9)
