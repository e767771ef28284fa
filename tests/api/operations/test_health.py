"""`/healthz`, `/readyz` and `/metrics`, all without an API key."""

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from api.operations.exposition import render_exposition
from engine.common.errors import UnavailableError
from engine.operations.health import Component, Health
from engine.operations.metrics import Metric
from tests.kit.consoles import Console

PENDING = Metric("waypost_journal_pending_clicks", "Clicks that wait")


async def test_healthz_answers_ok() -> None:
    response = await Console().call("GET", "/healthz", key="")
    assert (response.status, response.body) == (200, b"ok\n")


async def test_readyz_names_every_component_with_the_reason_why_it_is_not_ready() -> None:
    console = Console()
    response = await console.call("GET", "/readyz", key="")
    assert response.status == 200
    assert response.json == {
        "ready": True,
        "components": {"postgres": {"ready": True, "reason": ""}},
    }
    console.healthy = Health((Component("postgres", True), Component("edge-0", False, "starting")))
    response = await console.call("GET", "/readyz", key="")
    assert response.status == 503
    assert response.json["components"]["edge-0"] == {"ready": False, "reason": "starting"}
    console.healthy = Health(())
    assert (await console.call("GET", "/readyz", key="")).status == 503


@pytest.mark.parametrize("error", [UnavailableError("Postgres is away"), RuntimeError("secret")])
async def test_health_that_cannot_be_read_is_not_ready(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: Console) -> Health:
        raise error

    monkeypatch.setattr(Console, "health", broken)
    response = await Console().call("GET", "/readyz", key="")
    assert response.status == 503
    assert b"secret" not in response.body


async def test_health_and_metrics_that_hang_are_503(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: object
) -> None:
    async def stuck(_: Console) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(Console, "health", stuck)
    monkeypatch.setattr(Console, "metrics", stuck)
    console = Console()
    assert (await console.call("GET", "/readyz", key="")).status == 503
    (await console.call("GET", "/metrics", key="")).problem(503)


async def test_metrics_are_plain_lines_summed_over_processes() -> None:
    console = Console(samples=(PENDING.sample(4),))
    await console.call("GET", "/healthz")
    response = await console.call("GET", "/metrics", key="")
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = response.body.decode().splitlines()
    assert "waypost_journal_pending_clicks 8" in lines
    assert 'waypost_process_info{role="edge",pid="11"} 1' in lines
    assert 'waypost_process_info{role="edge",pid="12"} 1' in lines
    assert 'waypost_console_requests_total{status="2xx"} 1' in lines
    assert "# TYPE waypost_journal_pending_clicks gauge" in lines
    assert "# TYPE waypost_console_requests_total counter" in lines


def test_the_exposition_is_parsed_by_prometheus_client() -> None:
    counter = Metric("waypost_a_total", "Texts of any kind", ("why", "who"))
    gauge = Metric("waypost_b", "Numbers of any kind", ("x",))
    samples = [
        counter.sample(2**53, 'a "b" \\ c\nd', "é"),
        *gauge.by_label({"0": 0.25, "1": float("nan"), "2": float("inf"), "3": -float("inf")}),
        PENDING.sample(1),
    ]
    families = list(text_string_to_metric_families(render_exposition(samples)))
    assert [(family.type, family.documentation) for family in families] == [
        (metric.kind, metric.help) for metric in (counter, gauge, PENDING)
    ]
    values = {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }
    assert len(values) == len(samples)
    for metric, value, labels in samples:
        assert repr(float(values[(metric.name, labels)])) == repr(float(value))
