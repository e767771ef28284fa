"""Plan of an import: which links its rows create or change, and why a row is rejected."""

from typing import Final, Literal, get_args

import msgspec

from engine.links.imports.row_error import RowReject
from engine.links.link import Link, LinkDraft
from engine.links.options import normalised_options
from engine.links.ports import ImportRow

IfExists = Literal["update", "reject"]
IF_EXISTS: Final[tuple[str, ...]] = get_args(IfExists)


class ImportPlan:
    """The plan of one batch. Rows are added in the order of the file.

    Of two rows for one address the second is rejected. Where a file has several, an existing link is changed by
    none of them, as it is unknown which one is meant: so a file and the same in another order do the same.
    """

    def __init__(self, if_exists: IfExists) -> None:
        self._if_exists = if_exists
        self._lines: dict[tuple[str, str], int] = {}
        self._external_ids: dict[tuple[str, str], int] = {}
        self.created: list[ImportRow] = []
        self.updated: list[tuple[ImportRow, Link]] = []
        self.rejected: list[RowReject] = []
        self.unchanged = 0

    def add(self, row: ImportRow, stored: Link | None, slug_of_external_id: str = "") -> None:
        """Add a row. `stored` is the link at its address, `slug_of_external_id` the slug of the profile's link
        that has the row's external id, if there is one."""
        address = (row.handle, row.slug)
        reject = self._refusal(row, slug_of_external_id)
        if not reject and stored is not None:
            changed = merged(stored, row)
            reject = None if changed == stored else self._refused_change(row, changed)
            if not reject and changed == stored:
                self.unchanged += 1
            elif not reject:
                self.updated.append((row, changed))
        elif not reject:
            self.created.append(row)
        if reject:
            self.rejected.append(reject)
            return
        self._lines[address] = row.line
        if external_id := row.fields.get("external_id"):
            self._external_ids[row.handle, external_id] = row.line

    def forget_written(self) -> None:
        """Forget the links to create and update, once they are written. Their addresses stay known."""
        self.created = []
        self.updated = []

    def reject(self, row: ImportRow, reason: str) -> None:
        self.rejected.append(RowReject(row.line, reason))

    def _refusal(self, row: ImportRow, slug_of_external_id: str) -> RowReject | None:
        if (line := self._lines.get((row.handle, row.slug))) is not None:
            return repeated_row(row, line)
        external_id = row.fields.get("external_id", "")
        if (line := self._external_ids.get((row.handle, external_id))) is not None:
            reason = f"external_id {external_id!r} is that of line {line}, too"
            return RowReject(row.line, reason, line)
        if slug_of_external_id not in ("", row.slug):
            return RowReject(row.line, f"external_id is that of the link {slug_of_external_id!r}")
        return None

    def _refused_change(self, row: ImportRow, changed: Link) -> RowReject | None:
        if row.other_line:
            return repeated_row(row, row.other_line)
        if self._if_exists == "reject":
            reason = f"slug {row.slug!r} is that of an existing link with other values"
            return RowReject(row.line, reason)
        _, errors = normalised_options(changed, private_hosts=True)
        reason = "; ".join(f"{error.field} {error.reason}" for error in errors)
        return RowReject(row.line, reason) if reason else None


def repeated_row(row: ImportRow, line: int) -> RowReject:
    """Return the rejection of a row whose address another line has."""
    return RowReject(
        row.line, f"slug {row.slug!r} of {row.handle} is that of line {line}, too", line
    )


def draft_of_row(row: ImportRow) -> LinkDraft:
    """Return the draft of the link that a row makes."""
    return LinkDraft(slug=row.slug, target=row.target, title=row.title, kind=row.kind, **row.fields)


def merged(stored: Link, row: ImportRow) -> Link:
    """Return a link with the row's values. What the row leaves empty, and `short`, stay."""
    changes = {name: value for name, value in row.fields.items() if name != "short"}
    changes |= {"target": row.target, "kind": row.kind, "title": row.title or stored.title}
    if row.created_at is not None:
        changes["created_at"] = row.created_at
    return msgspec.structs.replace(stored, **changes)
