"""The memory in two generations: bounded, and without forgetting what is asked for."""

from engine.common.generations import Generations


def test_it_is_bounded_and_keeps_what_is_asked_for_again() -> None:
    made: list[int] = []

    def make(key: int) -> int:
        made.append(key)
        return -key

    memory = Generations(make, 3)
    for key in range(1, 50):
        assert memory[0] == 0
        assert memory[key] == memory[key] == -key
        assert len(memory) <= 3
    assert made.count(0) == 1
    assert len(made) == 50
    assert memory[1] == -1
    assert made.count(1) == 2  # it was forgotten
