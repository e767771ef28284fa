"""How a benchmark says what it found: progress, a table for people, one JSON line for machines."""

import json
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def progress(text: str) -> None:
    """A line on stderr, out of the way of the results."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def show(table: Table) -> None:
    Console(highlight=False).print(table)


def write_json(result: Mapping[str, Any]) -> None:
    """The last line of stdout."""
    sys.stdout.write(json.dumps(result, separators=(",", ":")) + "\n")
    sys.stdout.flush()
