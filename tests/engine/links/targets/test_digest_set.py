"""Sets of digests: they have what was put in, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine.links.targets.blocklist as module
from engine.links.targets.digest_set import DigestSet


@given(st.sets(st.text(max_size=20), max_size=50), st.lists(st.text(max_size=20), max_size=20))
def test_a_set_has_its_members_alone(members: set[str], others: list[str]) -> None:
    digests = DigestSet(members)
    assert len(digests) == len(members)
    assert all(text in digests for text in members)
    assert [text in digests for text in others] == [text in members for text in others]
    assert digests == members == digests
    assert digests != members | {"another text that is longer"}


def test_a_list_of_too_many_entries_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 2)
    assert module.parse_blocklist(["a.example", "a.example", "b.example"]).entries == 2
    with pytest.raises(ValueError, match="more than 2 entries"):
        module.parse_blocklist(["a.example", "b.example", "c.example"])
