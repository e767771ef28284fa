"""The names that code outside of this repository calls: they do not change."""

import inspect
from importlib import import_module

import pytest

from engine.clicks.user_agent import UserAgent
from engine.visits.classifier import Classification
from tests.architecture.metrics import declarations

FUNCTIONS = {
    "engine.experiments.bucketing.bucket": ("seed", "key"),
    "engine.experiments.bucketing.choose": ("bucket", "weights", "coverage"),
    "engine.visits.classifier.judge": ("user_agent", "headers", "method"),
    "engine.clicks.user_agent.parse": ("text",),
    "engine.links.target.check": ("url",),
    "engine.webhooks.signature.sign": ("secret", "id", "timestamp", "body"),
    "engine.webhooks.public_address.allowed_address": ("text",),
}
METRICS = {
    "waypost_journal_pending_clicks", "waypost_clicks_unrecorded_total", "waypost_redirects_total",
    "waypost_console_crashes_total", "waypost_process_info",
}  # fmt: skip


@pytest.mark.parametrize(("name", "parameters"), FUNCTIONS.items())
def test_pure_functions_keep_their_names_and_parameters(
    name: str, parameters: tuple[str, ...]
) -> None:
    module, _, function = name.rpartition(".")
    signature = inspect.signature(getattr(import_module(module), function))
    assert tuple(signature.parameters)[: len(parameters)] == parameters


def test_their_results_keep_their_fields() -> None:
    assert {"kind", "counted"} <= set(Classification._fields)
    assert {"browser", "os", "device"} <= set(UserAgent._fields)


def test_metrics_that_checks_read_keep_their_names() -> None:
    assert {declaration.name for declaration in declarations()} >= METRICS
