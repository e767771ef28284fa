"""Table of roles and scopes in docs/api.md, compared with the code."""

import re
from pathlib import Path

from engine.accounts.access import MAX_MEMBERS, ROLES, Action

API = Path(__file__).resolve().parents[2] / "docs" / "api.md"


def section() -> str:
    return API.read_text().split("\n## Roles and scopes\n")[1].split("\n## ")[0]


def test_the_table_in_the_docs_is_the_one_that_is_enforced() -> None:
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section().splitlines()
        if line.startswith("|")
    ]
    assert head == ["to …", *ROLES, "scope of a key"]
    written = {
        (words, tuple(r for r, cell in zip(ROLES, cells, strict=True) if cell == "yes"), scope)
        for words, *cells, scope in rows
        if all(cell in ("yes", "–") for cell in cells)
    }
    enforced = {
        (action.value.phrase, action.value.roles, f"`{action.value.scope}`") for action in Action
    }
    assert written == enforced


def test_the_number_of_members_is_written_in_words() -> None:
    assert MAX_MEMBERS == 10
    assert re.search(r"up to ten members", section())
