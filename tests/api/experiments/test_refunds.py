"""`POST /v1/profiles/{id}/refunds`."""

from typing import Any

import pytest

from tests.kit.consoles import Console

REFUND = {"order_id": "7", "refund_id": "r", "value": "9.90", "currency": "eur"}


async def test_a_refund_is_recorded_once() -> None:
    console = Console()
    path = f"/v1/profiles/{(await console.profile())['id']}/refunds"
    first = await console.call("POST", path, REFUND)
    again = await console.call("POST", path, REFUND | {"value": "1"})
    assert (first.status, first.json) == (201, {"duplicate": False})
    assert (again.status, again.json) == (200, {"duplicate": True})
    (refund,) = console.conversions.refunds.values()
    assert (refund.name, refund.currency, str(refund.value)) == ("conversion", "EUR", "9.90")
    assert (await console.call("POST", path, {"order_id": "7", "kind": "void"})).status == 201
    (await console.call("POST", path, REFUND, key="two")).problem(404)
    sent = [
        await console.call("POST", path, {"order_id": "8", "kind": "void"}, Idempotency_Key="k")
        for _ in range(2)
    ]
    assert [answered.status for answered in sent] == [201, 201]


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"order_id": ""}, {"order_id"}),
        ({"order_id": None}, {"order_id"}),
        ({"refund_id": "x" * 129}, {"refund_id"}),
        ({"name": ""}, {"name"}),
        ({"kind": "half"}, {"kind"}),
        ({"kind": "void"}, {"value"}),
        ({"kind": "total", "value": "-1"}, {"value"}),
        ({"value": None}, {"value"}),
        ({"currency": None}, {"value"}),
        ({"value": "NaN"}, {"value"}),
        ({"value": "1e12"}, {"value"}),
        ({"value": "0.00001"}, {"value"}),
        ({"currency": "euro"}, {"currency"}),
        ({"at": "2026-03-15T10:00:00"}, {"at"}),
        ({"at": "2036-03-15T10:00:00Z"}, {"at"}),
        ({"colour": 1}, {"colour"}),
    ],
)
async def test_bad_fields_of_a_refund_are_named(changes: dict[str, Any], fields: set[str]) -> None:
    console = Console()
    path = f"/v1/profiles/{(await console.profile())['id']}/refunds"
    assert (await console.call("POST", path, REFUND | changes)).problem(422).keys() == fields
