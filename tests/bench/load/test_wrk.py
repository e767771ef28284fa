"""What wrk prints, and the requests it is given."""

import pytest
from httptools import HttpRequestParser

from bench.kit.errors import BenchError
from bench.load import browsers, wrk

OUTPUT = """Running 2s test @ http://127.0.0.1:8080
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.02ms    0.51ms  12.00ms   92.00%
    Req/Sec    30.10k     1.20k   33.00k    75.00%
  60200 requests in 2.01s, 15.00MB read
Requests/sec:  29950.25
Transfer/sec:      7.46MB
waypost-bench {"requests":60200,"duration_us":2010000,"bytes":15728640,"connect":0,"read":3,\
"write":0,"status":0,"timeout":1,"p50_us":980,"p90_us":1500,"p99_us":4321,"p999_us":9000,"max_us":12000}
"""


def test_figures_are_read() -> None:
    figures = wrk.parse(OUTPUT)
    assert figures.requests == 60_200
    assert figures.seconds == 2.01
    assert figures.rps == pytest.approx(29_950.25, abs=0.01)
    assert (figures.p50_ms, figures.p99_ms, figures.max_ms) == (0.98, 4.321, 12.0)
    assert figures.errors == {"read": 3, "timeout": 1}


def test_output_without_figures_is_an_error_that_shows_it() -> None:
    with pytest.raises(BenchError, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1:1 Connection refused\n")


class Heads:
    """What httptools finds in one request."""

    def __init__(self, data: bytes) -> None:
        self.url = b""
        self.headers: dict[str, str] = {}
        self.complete = 0
        parser = HttpRequestParser(self)
        parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()

    def on_message_complete(self) -> None:
        self.complete += 1


@pytest.mark.parametrize("close", [False, True])
def test_requests_are_whole_and_cycle_over_the_paths(close: bool) -> None:
    paths = ["/a/one", "/a/two", "/b/three"]
    heads = list(browsers.request_heads(paths, "go.example", count=9, close=close, seed=1))
    # The script cuts its file at blank lines.
    assert b"".join(heads).count(b"\r\n\r\n") == len(heads) == 9
    found = [Heads(head) for head in heads]
    assert [one.url.decode() for one in found] == paths * 3
    assert all(one.complete == 1 for one in found)
    assert {one.headers["host"] for one in found} == {"go.example"}
    assert {one.headers["connection"] for one in found} == {"close" if close else "keep-alive"}


def test_headers_vary_and_are_the_same_for_one_seed() -> None:
    heads = [
        list(browsers.request_heads(["/x"], "go.example", count=500, close=False, seed=seed))
        for seed in (1, 1, 2)
    ]
    assert heads[0] == heads[1] != heads[2]
    found = [Heads(head).headers for head in heads[0]]
    assert len({one["user-agent"] for one in found}) > 50
    assert len({one.get("referer") for one in found}) > 10
    for name, least, most in (("cookie", 100, 200), ("sec-ch-ua", 200, 400), ("referer", 300, 400)):
        assert least < sum(name in one for one in found) < most, name
    for one in found:
        assert ("Chrome/" in one["user-agent"]) is ("sec-ch-ua" in one)
        assert "{" not in one["user-agent"]
