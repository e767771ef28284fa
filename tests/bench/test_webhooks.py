"""The benchmark of webhooks: its calculations, its receivers, and a short run."""

import json
import socket
import time
from typing import Any

import click
import pytest

from bench import webhooks
from bench.load.receivers import FailureShares, Receiver, ReceiverThread
from engine.webhooks.signature import headers, new_secret

SECRET = new_secret(b"s" * 32)


@pytest.mark.parametrize(
    ("successes", "total", "expected"),
    # Calculated with the F distribution; for 0 and n successes by 0.025 ** (1 / n).
    [(0, 10, 0.0), (10, 10, 0.6915), (5, 10, 0.1871), (19_900, 20_000, 0.99392), (20_000, 20_000, 0.99982)],
)  # fmt: skip
def test_the_lower_bound_is_that_of_clopper_and_pearson(
    successes: int, total: int, expected: float
) -> None:
    assert webhooks.lower_bound(successes, total) == pytest.approx(expected, abs=1e-4)


GOOD: dict[str, Any] = {
    "lost": 0, "phantoms": 0, "bad_signatures": 0, "pairs": 20_000, "lower_bound": 0.9998,
    "healthy_p99_ms": 300.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "wrong"),
    [({}, []), ({"lost": 1}, ["lost: 1"]), ({"phantoms": 2}, ["phantoms: 2"]),
     ({"bad_signatures": 1}, ["bad_signatures: 1"]), ({"lower_bound": 0.994}, ["lower_bound: 0.994"]),
     ({"lower_bound": 0.98, "pairs": 200}, []), ({"healthy_p99_ms": 1000.0}, ["healthy_p99_ms: 1000.0"]),
     ({"healthy_p99_ms": float("nan")}, ["healthy_p99_ms: nan"])],
)  # fmt: skip
def test_a_missed_target_is_named(change: dict[str, Any], wrong: list[str]) -> None:
    assert webhooks.failures(GOOD | change) == wrong


def sent(receiver: Receiver, slug: str, secret: str = SECRET, patience_s: float = 20.0) -> bytes:
    """Send one event. Returns the receiver's answer: empty when it closes, `...` when it is silent."""
    body = json.dumps(
        {"timestamp": "2026-05-01T00:00:00Z", "data": {"after": {"slug": slug}}}
    ).encode()
    fields = headers([secret], "evt_1", int(time.time()), body) | {"content-length": str(len(body))}
    head = "POST / HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items()) + "\r\n"
    with socket.create_connection(receiver.listener.getsockname()) as client:
        client.settimeout(patience_s)
        try:
            client.sendall(
                head.encode() + body
            )  # a receiver may reset before it has read everything
            return client.recv(100)
        except TimeoutError:
            return b"..."
        except (BrokenPipeError, ConnectionResetError):
            return b""


def test_receivers_fail_as_configured_and_keep_ledgers() -> None:
    thread = ReceiverThread()
    good, broken = (
        thread.add("good", FailureShares(), 1),
        thread.add("broken", FailureShares(broken=1.0), 1),
    )
    silent, resets = (
        thread.add("silent", FailureShares(silent=1.0), 1),
        thread.add("resets", FailureShares(reset=1.0), 1),
    )
    for receiver in thread.receivers:
        receiver.set_secret(SECRET)
    with thread:
        assert sent(good, "a").startswith(b"HTTP/1.1 204")
        assert sent(good, "a").startswith(b"HTTP/1.1 204")
        assert sent(good, "b", new_secret(b"o" * 32)).startswith(b"HTTP/1.1 204")
        assert sent(broken, "a").startswith(b"HTTP/1.1 500")
        assert sent(silent, "a", patience_s=0.3) == b"..."
        assert sent(resets, "a") == b""
        good.hanging = True
        assert sent(good, "c", patience_s=0.3) == b"..."
        good.hanging, good.down = False, True
        assert sent(good, "d") == b""
    assert (good.bad_signatures, set(good.ledger)) == (1, {"a", "c"})
    entry = good.ledger["a"]
    assert (entry.arrivals, entry.accepted, entry.accepted_at_arrival) == (2, 2, 1)
    assert (good.ledger["c"].arrivals, good.ledger["c"].accepted) == (1, 0)
    failed = [receiver.ledger["a"] for receiver in (broken, silent, resets)]
    assert [receipt.accepted for receipt in failed] == [0, 0, 0]
    # A courier waits 5 s after a failure, and 60 s after 15 s without an answer.
    assert [receipt.waits_s for receipt in failed] == [5, 75, 5]


@pytest.mark.thorough
@pytest.mark.slow
def test_a_short_run_delivers_everything(capsys: pytest.CaptureFixture[str]) -> None:
    command: click.Command = webhooks.command
    code = command.main(
        ["--events", "160", "--rate", "80", "--pace", "2000", "--json"], standalone_mode=False
    )
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["events"], result["pairs"]) == (160, 200)
    assert (result["lost"], result["phantoms"], result["bad_signatures"]) == (0, 0, 0)
    assert 0.3 < result["success_first"] < result["success_final"] == 1.0
    assert result["requests"] > result["pairs"]
    assert result["healthy"] > 0
    assert code in (0, 1)
    assert code == bool(webhooks.failures(result))
