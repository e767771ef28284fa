"""The tool chooses mutations by words, and tells survivors from mutations that are caught."""

from pathlib import Path

import pytest

from tests.sabotage.__main__ import chosen, run
from tests.sabotage.mutation import Mutation, load
from tests.sabotage.tree import Tree


def test_mutations_are_chosen_by_words() -> None:
    everything = list(load())
    assert chosen([]) == everything
    some = chosen(["webhooks", "30 days"])
    assert 0 < len(some) < len(everything)
    assert all("webhooks" in str(mutation) and "30 days" in str(mutation) for mutation in some)
    assert chosen(["no such words"]) == []


@pytest.mark.slow
def test_a_survivor_is_told_from_a_mutation_that_is_caught(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "limits.py").write_text("MAX_KEYS = 100\nDAYS = 30\n")
    (tmp_path / "test_limits.py").write_text(
        "import limits\n\n\ndef test_keys() -> None:\n    assert limits.MAX_KEYS == 100\n"
    )

    def mutation(before: str, after: str, test: str = "test_keys") -> Mutation:
        tests = (f"test_limits.py::{test}",)
        return Mutation("a", "a.md", "a promise", "limits.py", before, after, tests)

    # Without plugins, pytest starts in a quarter of the time.
    tree = Tree(tmp_path, {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    caught, survivor = mutation("100", "101"), mutation("DAYS = 30", "DAYS = 29")
    assert run([caught, survivor], tree) == 1
    lines = [line.split()[0] for line in capsys.readouterr().out.splitlines() if " s  " in line]
    assert lines == ["caught", "survived"]
    assert tree.outcome(mutation("DAYS = 30", "DAYS =")) == "unclear"
    assert run([mutation("100", "101", "test_nothing")], tree) == 2
    assert "without a mutation" in capsys.readouterr().out
    assert (tmp_path / "limits.py").read_text() == "MAX_KEYS = 100\nDAYS = 30\n"
    with pytest.raises(ValueError, match="must contain this once"):
        tree.outcome(mutation("0", "1"))
