"""The parser of wrk's output, and the requests for wrk."""

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
"write":0,"status":0,"timeout":1,"other":0,"p50_us":980,"p90_us":1500,"p99_us":4321,"p999_us":9000,"max_us":12000}
"""


def test_results_are_parsed() -> None:
    result = wrk.parse(OUTPUT)
    assert result.requests == 60_200
    assert result.seconds == 2.01
    assert result.rps == pytest.approx(29_950.25, abs=0.01)
    assert (result.p50_ms, result.p99_ms, result.max_ms) == (0.98, 4.321, 12.0)
    assert result.errors == {"read": 3, "timeout": 1}


def test_output_without_results_is_an_error_that_contains_it() -> None:
    with pytest.raises(BenchError, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1:1 Connection refused\n")


class Heads:
    """A request as httptools parses it."""

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
def test_requests_are_complete_and_cycle_over_the_paths(close: bool) -> None:
    paths = ["/a/one", "/a/two", "/b/three"]
    heads = list(browsers.request_heads(paths, "go.example", count=9, close=close, seed=1))
    # wrk's script splits its file at blank lines.
    assert b"".join(heads).count(b"\r\n\r\n") == len(heads) == 9
    requests = [Heads(head) for head in heads]
    assert [request.url.decode() for request in requests] == paths * 3
    assert all(request.complete == 1 for request in requests)
    assert {request.headers["host"] for request in requests} == {"go.example"}
    assert {request.headers["connection"] for request in requests} == {
        "close" if close else "keep-alive"
    }


def test_headers_vary_and_are_reproducible_by_seed() -> None:
    heads = [
        list(browsers.request_heads(["/x"], "go.example", count=500, close=False, seed=seed))
        for seed in (1, 1, 2)
    ]
    assert heads[0] == heads[1] != heads[2]
    header_sets = [Heads(head).headers for head in heads[0]]
    assert len({fields["user-agent"] for fields in header_sets}) > 50
    assert len({fields.get("referer") for fields in header_sets}) > 10
    for name, least, most in (("cookie", 100, 200), ("sec-ch-ua", 200, 400), ("referer", 300, 400)):
        assert least < sum(name in fields for fields in header_sets) < most, name
    for fields in header_sets:
        assert ("Chrome/" in fields["user-agent"]) is ("sec-ch-ua" in fields)
        assert "{" not in fields["user-agent"]
