"""Slots for long work: one tenant cannot take those of the others, and each slot comes back."""

import pytest

from engine.common.errors import TooSoonError, UnavailableError
from engine.limits.tenant_slots import RETRY_AFTER_S, TenantSlots


def test_a_tenant_takes_its_own_slots_and_no_more() -> None:
    slots = TenantSlots("exports", total=3, each=2)
    with slots.taken(1), slots.taken(1):
        with pytest.raises(TooSoonError, match="2 of this tenant's exports") as refusal:
            slots.admit(1)
        assert refusal.value.retry_after_s == RETRY_AFTER_S
        with slots.taken(2), pytest.raises(UnavailableError, match="3 exports are running"):
            slots.admit(3)
        slots.admit(3)
    slots.admit(1)


def test_a_slot_comes_back_when_its_work_fails() -> None:
    slots = TenantSlots("exports", total=1, each=1)
    for _ in range(3):
        with pytest.raises(RuntimeError), slots.taken(1):
            raise RuntimeError
    slots.admit(2)
