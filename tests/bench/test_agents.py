"""The benchmark of user agents: what it counts as right."""

import json
from pathlib import Path

from click.testing import CliRunner

from bench.agents import command
from bench.kit.errors import BenchError

CHROME = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/126.0 Mobile Safari/537.36"
LISTS = {
    "phone": [CHROME, "curl/8.5.0"],
    "people": [CHROME, "VLC/3.0.20 LibVLC/3.0.20"],
    "machines": ["Googlebot/2.1", "kube-probe/1.29", "curl/8.5.0", CHROME],
    "monitor": ["kube-probe/1.29"],
}


def test_each_list_is_compared_with_its_answer(tmp_path: Path) -> None:
    for name, agents in LISTS.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(agents))
    run = CliRunner().invoke(command, ["--lists", str(tmp_path), "--json"], standalone_mode=False)
    result = json.loads(run.stdout.splitlines()[-1])
    right = {name: (row["agents"], row["right"]) for name, row in result["lists"].items()}
    assert right == {
        "phone": (2, 0.5),
        "people": (2, 1.0),
        "machines": (4, 0.75),
        "monitor": (1, 1.0),
    }
    assert result["us_judge"] > 0 < result["us_device"]
    assert run.return_value == 1  # phones are right in less than nine of ten


def test_without_lists_it_times_made_up_browsers() -> None:
    run = CliRunner().invoke(command, ["--json"], standalone_mode=False)
    assert run.return_value == 0
    assert json.loads(run.stdout.splitlines()[-1])["lists"] == {}


def test_a_list_of_another_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fridge.txt").write_text("Fridge/1.0")
    run = CliRunner().invoke(command, ["--lists", str(tmp_path)], standalone_mode=False)
    assert isinstance(run.exception, BenchError)
    assert "fridge.txt is none of desktop, phone" in str(run.exception)
    (tmp_path / "fridge.txt").unlink()
    run = CliRunner().invoke(command, ["--lists", str(tmp_path)], standalone_mode=False)
    assert "has no list" in str(run.exception)
