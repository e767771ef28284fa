"""JSON Schema of a line of a results file: `python -m bench schema`."""

import json

import click

from bench.suite.result import schema


@click.command(help="JSON Schema of a line of a results file.")
def command() -> int:
    """Print the schema. Returns 0."""
    print(json.dumps(schema(), indent=2))
    return 0
