"""Breaks the promises of the docs one by one, and says which the tests do not notice.

    python -m tests.sabotage              every mutation of promises/*.toml
    python -m tests.sabotage webhooks     those whose table, promise, file or tests contain a word
    python -m tests.sabotage --uncited    lines of the docs with a number that no mutation cites

Works on a copy of the tree in a temporary folder. Exit code 1: a mutation survived; 2: the tests fail without
one, or cannot run with one.
"""

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from storage.embedded import EmbeddedServers
from tests.sabotage.mutation import Mutation, load, one_line
from tests.sabotage.tree import Tree

ROOT: Final = Path(__file__).resolve().parents[2]
DOCS: Final = ("README.md", "ARCHITECTURE.md", "docs/*.md", "docs/design/*.md")
# These promise nothing, or are held against the code figure by figure (tests/architecture/test_limits.py).
NO_PROMISES: Final = ("docs/glossary.md", "docs/limits.md", "docs/design/how-to-add.md")
# Not those of versions, paths and ports, nor statuses of HTTP.
_NUMBER: Final = re.compile(
    r"(?<![\w.:/{-])(?![1-5][0-9][0-9]\b(?!,))[1-9][0-9,.]*(?![\w/.:-]*[/:])"
)


def chosen(words: Sequence[str]) -> list[Mutation]:
    """Return the mutations that contain all words, or all mutations without any."""
    return [mutation for mutation in load() if all(word in str(mutation) for word in words)]


def uncited() -> list[str]:
    """Return the sentences and rows of the docs that have a number and no mutation."""
    promises = {one_line(mutation.promise) for mutation in load()}
    sentences = []
    for path in sorted(path for pattern in DOCS for path in ROOT.glob(pattern)):
        name = path.relative_to(ROOT).as_posix()
        prose = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
        for text in re.split(r"\n\n|\n(?=[|-] )|(?<=\.)\s", prose):
            sentence = one_line(text)
            cited = any(promise in sentence or sentence in promise for promise in promises)
            if _NUMBER.search(sentence) and not cited and name not in NO_PROMISES:
                sentences.append(f"{name}: {sentence}")
    return sentences


def run(mutations: Sequence[Mutation], tree: Tree) -> int:
    """Apply each mutation and print whether the tests caught it. Returns the exit code."""
    tests = sorted({test for mutation in mutations for test in mutation.tests})
    if output := tree.failures(tests):
        print(f"{output}\n\nthe tests fail without a mutation")
        return 2
    counts = {"caught": 0, "survived": 0, "unclear": 0}
    for mutation in mutations:
        began = time.monotonic()
        outcome = tree.outcome(mutation)
        counts[outcome] += 1
        seconds = time.monotonic() - began
        print(f"{outcome:8} {seconds:5.1f} s  {mutation.file}: {mutation.change}", flush=True)
        if outcome != "caught":
            print(f"         {mutation.doc}: {one_line(mutation.promise)}")
            print(f"         {' '.join(mutation.tests)}", flush=True)
    print(f"{len(mutations)} mutations: " + ", ".join(f"{n} {name}" for name, n in counts.items()))
    return 2 if counts["unclear"] else int(counts["survived"] > 0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sabotage", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("words", nargs="*", help="only mutations that contain all of these words")
    parser.add_argument(
        "--uncited", action="store_true", help="list the numbers without a mutation"
    )
    options = parser.parse_args()
    if options.uncited:
        print("\n".join(uncited()))
        return 0
    mutations = chosen(options.words)
    if not mutations:
        parser.error("no mutation contains all of these words")
    with tempfile.TemporaryDirectory(prefix="waypost-sabotage-") as folder:
        tree = Tree.copy(ROOT, Path(folder) / "tree")
        with EmbeddedServers(Path(folder) / "servers", durable=False) as servers:
            return run(mutations, tree.with_servers(servers.database_url, servers.redis_url))


if __name__ == "__main__":
    sys.exit(main())
