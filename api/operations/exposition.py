"""Samples as Prometheus' text format 0.0.4.

Written here and not by prometheus_client, whose output sorts labels and writes whole numbers as
`1.0`: `waypost_process_info{role="edge",pid="7"} 1` is a line that others rely on. The tests read
what this writes with prometheus_client's own parser.
"""

from collections.abc import Iterable
from typing import Final

from engine.operations.metrics import METRICS, Sample

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def render_exposition(samples: Iterable[Sample]) -> str:
    """The text; samples of one name must stand together."""
    lines: list[str] = []
    previous = ""
    for name, value, labels in samples:
        if name != previous:
            previous = name
            if name in METRICS:
                lines.append(f"# HELP {name} {METRICS[name]}")
            lines.append(f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}")
        pairs = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
        lines.append(f"{name}{{{pairs}}} {_number(value)}" if pairs else f"{name} {_number(value)}")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(float(value))


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
