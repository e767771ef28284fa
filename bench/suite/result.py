"""Result of one run of a benchmark in its envelope: the same fields, whatever was measured."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct, field

SCHEMA_VERSION: Final = 1

Better = Literal["lower", "higher", "neither"]
Text = Annotated[str, Meta(max_length=20_000)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]


class Figure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Named number of a result. `name` is unique in it and stays when titles change.

    `better` is the direction of an improvement; "neither" is for numbers of peers and of circumstances. `runs`
    are the values of the rounds that `value` sums up, in their order; empty for a number that was measured
    once. Figures of one `chart` are drawn together, with a colour for each `series`; those that have an `x` are
    points of a line.
    """

    name: Name
    title: Name
    unit: Annotated[str, Meta(max_length=40)]
    value: float
    better: Better
    runs: Annotated[tuple[float, ...], Meta(max_length=10_000)] = ()
    chart: Annotated[str, Meta(max_length=200)] = ""
    series: Annotated[str, Meta(max_length=200)] = ""
    x: float | None = None


class Host(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Machine and versions of a measurement."""

    cpu: Name
    cores: Annotated[int, Meta(ge=1)]
    memory_mb: Annotated[int, Meta(ge=0)]
    kernel: Name
    python: Name
    versions: dict[str, str]


class BenchResult(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Envelope of a result: one line of a results file.

    `exit_code` is that of the command: 0 measured, 1 measured and a check failed, 2 could not run. `error` says
    why a benchmark gave no result. `exact` is None where a benchmark does not count clicks. `result` has the
    benchmark's own keys, as `--json` prints them.
    """

    schema: Literal[1]
    benchmark: Name
    about: Text
    does_not_say: Text
    started_at: Annotated[datetime, Meta(tz=True)]
    seconds: Annotated[float, Meta(ge=0)]
    command: Annotated[list[str], Meta(min_length=1, max_length=200)]
    version: Name
    commit: Annotated[str, Meta(max_length=80)]
    machine: Host
    options: dict[str, Any]
    quick: bool
    exit_code: int
    exact: bool | None
    failures: list[Text]
    error: Text
    # `figures` is no name of ours; in the file it is what load testers call them.
    measured: Annotated[list[Figure], Meta(max_length=10_000)] = field(name="figures")
    result: dict[str, Any]


class Key(NamedTuple):
    """Key of a result that is a figure, with its title, unit and direction."""

    key: str
    title: str
    unit: str
    better: Better
    chart: str = ""


def stated(values: Mapping[str, Any], keys: Sequence[Key], prefix: str = "") -> list[Figure]:
    """Return the figures of `keys` whose values are finite numbers; others were not measured.

    `values["runs"]`, if there, has the values of the rounds by key.
    """
    runs = values.get("runs", {})
    return [
        Figure(
            name=prefix + row.key,
            title=row.title,
            unit=row.unit,
            value=float(values[row.key]),
            better=row.better,
            chart=row.chart,
            runs=tuple(float(run) for run in runs.get(row.key, ())),
        )
        for row in keys
        if is_number(values.get(row.key))
    ]


def is_number(value: object) -> bool:
    """Return whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a line of a results file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Result of a benchmark of Waypost",
        **msgspec.json.schema(BenchResult),
    }
