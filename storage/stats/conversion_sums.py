"""Sums of conversions and of what they are worth, for the answers to stats questions.

A conversion counts at its own time, by the dimensions of its click, as
storage/experiments/conversion_dimensions.py copies them. Refunds move value at their time, by the dimensions of
the same click.
"""

from decimal import Decimal
from typing import Final

from engine.clicks.dimension import Dimension
from engine.common.errors import FieldError, InvalidError
from engine.stats.conversion_question import (
    MAX_SUMS,
    ConversionFilter,
    ConversionQuestion,
    ConversionSum,
    ConversionSums,
)
from storage.postgres import queries
from storage.postgres.database import Connection

_SQL: Final = queries.load("stats/conversion_sums")
# The values of a conversion without variants are one that is not known, as those of its click.
_VARIANTS: Final = (
    "CROSS JOIN LATERAL jsonb_array_elements_text(coalesce(m.dimensions -> 'variant', '[\"\"]'))"
    " AS v (variant)"
)


async def conversion_sums(
    connection: Connection, tenant_id: int, profile_id: int, question: ConversionQuestion
) -> ConversionSums:
    """Return the sums, in the transaction's snapshot. Raises InvalidError for too many of them."""
    values: list[object] = []
    by_variant = Dimension.VARIANT in question.groups
    conditions = [
        _condition(condition, values, by_variant=by_variant) for condition in question.conditions
    ]
    text = _SQL["sums"].format(
        groups=", ".join(_value(dimension) for dimension in question.groups),
        variants=_VARIANTS if by_variant else "",
        conditions=" AND ".join(conditions) or "true",
    )
    rows = await connection.fetch(
        text,
        tenant_id,
        profile_id,
        question.start,
        question.end,
        list(question.starts),
        question.window,
        MAX_SUMS + 1,
        *values,
    )
    if len(rows) > MAX_SUMS:
        reason = (
            f"must have at most {MAX_SUMS:,} groups and rows with conversions; ask for a shorter period, a "
            "longer interval or another dimension"
        )
        raise InvalidError([FieldError("group", reason)])
    sums: dict[tuple[tuple[str, ...], int], ConversionSum] = {}
    for groups, row, currency, conversions, value in rows:
        key = tuple(groups), row
        before = sums.get(key, ConversionSum(0, {}))
        revenue = dict(before.revenue)
        if currency is not None:
            revenue[currency] = value or Decimal(0)
        sums[key] = ConversionSum(before.conversions + conversions, revenue)
    return sums


def _value(dimension: Dimension) -> str:
    """Return the expression of a dimension's value of a movement `m`; '': not known."""
    if dimension is Dimension.LINK:
        return "m.link_id::text"
    if dimension is Dimension.VARIANT:
        return "v.variant"
    return f"coalesce(m.dimensions ->> '{dimension.name.lower()}', '')"


def _condition(condition: ConversionFilter, values: list[object], *, by_variant: bool) -> str:
    """Return the SQL of a condition, and append its values. By variant, each variant has to pass it."""
    values.append(list(condition.values))
    parameter = f"${7 + len(values)}::text[]"
    if condition.dimension is Dimension.VARIANT and not by_variant:
        is_one = (
            f"EXISTS (SELECT FROM jsonb_array_elements_text(coalesce(m.dimensions -> 'variant', '[\"\"]')) "
            f"AS w (variant) WHERE w.variant = ANY ({parameter}))"
        )
        return f"NOT {is_one}" if condition.operator == "!=" else is_one
    value = _value(condition.dimension)
    if condition.operator == "~=":
        # The collation C ignores the case of A to Z alone.
        return (
            f"EXISTS (SELECT FROM unnest({parameter}) AS t (text) "
            f'WHERE strpos(lower({value} COLLATE "C"), lower(t.text COLLATE "C")) > 0)'
        )
    return f"{value} {'<> ALL' if condition.operator == '!=' else '= ANY'} ({parameter})"
