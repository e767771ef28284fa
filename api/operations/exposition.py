"""Samples as Prometheus' text format 0.0.4.

Written here and not by prometheus_client, whose output sorts labels and writes whole numbers as
`1.0`: `waypost_process_info{role="edge",pid="7"} 1` is a line that others rely on. The tests read
what this writes with prometheus_client's own parser.
"""

from collections.abc import Iterable
from typing import Final

from engine.operations.metrics import Sample

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def render_exposition(samples: Iterable[Sample]) -> str:
    """Return the text, with HELP and TYPE of each metric; samples of one name must stand together."""
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
