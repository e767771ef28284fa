"""Every file stands where a newcomer would look for it."""

import ast
from collections import Counter, defaultdict
from pathlib import Path

from tests.architecture.sources import DOMAINS, ROOMS, ROOT, SPECIAL, name_of, sources, tree_of
from tests.architecture.sources import tests as all_tests

MAX_LINES = 500
MAX_FILES = 20
# Folders of tests that mirror no room.
TEST_FOLDERS = {"architecture", "kit", "sabotage", "system"}


def test_each_room_has_the_same_domains() -> None:
    for room in ROOMS:
        folders = {p.name for p in (ROOT / room).iterdir() if p.is_dir() and p.name[0] not in "._"}
        allowed = SPECIAL[room] if room == "bench" else DOMAINS | SPECIAL[room]
        assert folders <= allowed, f"{room}: {sorted(folders - allowed)}"


def test_tests_mirror_the_tree() -> None:
    """The tests of X/Y/z.py are tests/X/Y/test_z.py or test_z_<aspect>.py, those of X/Y itself test_Y.py."""
    for path in all_tests():
        room, *folders = path.relative_to(ROOT / "tests").parts[:-1] or [""]
        if not path.name.startswith("test_") or room in TEST_FOLDERS:
            continue
        folder = ROOT.joinpath(room, *folders)
        words = path.stem.removeprefix("test_").split("_")
        stems = {"_".join(words[:n]) for n in range(1, len(words) + 1)}
        files = {f"{stem}.{suffix}" for stem in stems for suffix in ("py", "pyx", "pxi")} | {
            f"__{stem}__.py" for stem in stems
        }
        files |= {"__init__.py"} if folder.name in stems else set()
        own = any((folder / file).is_file() for file in files)
        assert own, f"{name_of(path)} tests no module of {folder.relative_to(ROOT)}"


def test_files_fit_in_one_sitting() -> None:
    paths = [*sources(), *all_tests()]
    long = {name_of(p): n for p in paths if (n := len(p.read_text().splitlines())) > MAX_LINES}
    assert long == {}


def test_folders_can_be_read_at_a_glance() -> None:
    files: dict[str, list[str]] = defaultdict(list)
    for path in sources():
        files[name_of(path.parent)].append(path.name)
    full = {folder: len(names) for folder, names in files.items() if len(names) - 1 > MAX_FILES}
    assert full == {}


def test_every_module_says_what_it_is() -> None:
    silent = [name_of(path) for path in sources() if not ast.get_docstring(tree_of(path))]
    assert silent == []


def test_no_two_classes_have_one_name() -> None:
    def classes(path: Path) -> list[str]:
        return [node.name for node in tree_of(path).body if isinstance(node, ast.ClassDef)]

    names = Counter(name for path in sources() for name in classes(path))
    assert {name for name, times in names.items() if times > 1} == set()
