"""Output of a benchmark: progress on stderr, a table, and one JSON line for machines."""

import json
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def progress(text: str) -> None:
    """Print a line on stderr, apart from the results on stdout."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def show(table: Table) -> None:
    Console(highlight=False).print(table)


def printable(text: str) -> str:
    """Return a text from a file as a terminal may show it: without anything that is no character."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def cells(*texts: str) -> list[Text]:
    """Return cells of a table for texts from a file, in which nothing is markup."""
    return [Text(printable(text)) for text in texts]


def write_json(result: Mapping[str, Any]) -> None:
    """Print the result as one line of JSON, the last line of stdout."""
    sys.stdout.write(json.dumps(result, separators=(",", ":")) + "\n")
    sys.stdout.flush()
