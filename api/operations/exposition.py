"""Renderer of samples in Prometheus's text format 0.0.4.

prometheus_client is not used, because it sorts labels and writes whole numbers as `1.0`, while scripts of
operators rely on lines such as `waypost_process_info{role="edge",pid="7"} 1`. The tests parse the output with
prometheus_client.
"""

from collections.abc import Iterable
from typing import Final

from engine.operations.metrics import Sample

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def render_exposition(samples: Iterable[Sample]) -> str:
    """Return the text, with HELP and TYPE of each metric. Samples of one metric must follow each other."""
    lines: list[str] = []
    previous = ""
    for metric, value, labels in samples:
        if metric.name != previous:
            previous = metric.name
            lines.append(f"# HELP {metric.name} {metric.help}")
            lines.append(f"# TYPE {metric.name} {metric.kind}")
        pairs = ",".join(
            f'{label}="{_escape(text)}"' for label, text in zip(metric.labels, labels, strict=True)
        )
        name = f"{metric.name}{{{pairs}}}" if pairs else metric.name
        lines.append(f"{name} {_number(value)}")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(float(value))


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
