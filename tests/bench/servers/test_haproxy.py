"""HAProxy as a peer: its map of links, and a real one where it is installed."""

import pytest

from bench.kit.errors import BenchError
from bench.kit.link_set import sample_links
from bench.rounds.redirect_engine import check_answers, variant_targets
from bench.servers import haproxy
from bench.servers.haproxy import HAProxy, link_map

LINKS = sample_links(3)


def test_the_map_has_a_line_for_each_link() -> None:
    assert link_map(LINKS).splitlines()[2] == f"{LINKS[2].path} {LINKS[2].target}"


def test_it_is_an_error_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haproxy, "find", lambda: None)
    with pytest.raises(BenchError, match="not installed"), HAProxy(LINKS, 8):
        pass


@pytest.mark.skipif(haproxy.find() is None, reason="haproxy is not installed")
def test_it_redirects_each_link_to_its_target() -> None:
    with HAProxy(LINKS, 8) as server:
        assert check_answers(server.url, LINKS) == []
        (failure,) = check_answers(server.url, [LINKS[0]._replace(target="https://x.example/")])
        assert LINKS[0].target in failure
        (failure,) = check_answers(server.url, LINKS, tested=True)
        assert LINKS[0].target not in variant_targets(LINKS[0])
    assert not server.folder.exists()
