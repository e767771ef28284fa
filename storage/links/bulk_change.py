"""Many changes of one profile's links, in its transaction: each with a result of its own."""

from collections.abc import Callable, Sequence

from engine.common.errors import NotFoundError, WaypostError
from engine.common.versions import require_version
from engine.links.link import Link, LinkDraft
from engine.links.ports import LinkChange, LinkChangeResult
from storage.accounts.access import ProfileAccess, validate_id
from storage.links.generated_links import insert_generated_links, no_free_slug
from storage.links.link_rows import (
    apply_draft,
    fetch_link,
    insert_link,
    map_unique_violations,
    remove_link,
    rewrite_link,
)
from storage.links.link_slugs import settled_draft
from storage.postgres.database import Connection
from storage.postgres.session import savepoint


class BulkChange:
    """The changes, which make version `revision` of the locked profile if `changed` is true after them.

    A change that fails has no effect. Creations in a row that nothing can refuse are one statement.
    """

    def __init__(
        self,
        connection: Connection,
        access: ProfileAccess,
        revision: int,
        make_slug: Callable[[], str],
    ) -> None:
        self._connection = connection
        self._access = access
        self._revision = revision
        self._make_slug = make_slug
        self._drafts: list[LinkDraft] = []
        self.changed = False

    async def change(self, operations: Sequence[LinkChange]) -> list[LinkChangeResult]:
        """Carry out the changes. Returns their results in their order."""
        results: list[LinkChangeResult] = []
        for operation in operations:
            try:
                draft = operation.draft(None) if operation.op == "create" else None
                if draft is not None and _is_unrefused(draft):
                    self._drafts.append(draft)
                    continue
                results += await self._create_waiting()
                async with savepoint(self._connection):
                    with map_unique_violations():
                        results.append(
                            LinkChangeResult(link=await self._carry_out(operation, draft))
                        )
            except WaypostError as error:
                results += await self._create_waiting()
                results.append(LinkChangeResult(error=error))
        return results + await self._create_waiting()

    async def _create_waiting(self) -> list[LinkChangeResult]:
        """Create the links that wait for each other. Returns their results."""
        drafts, self._drafts = self._drafts, []
        if not drafts:
            return []
        links = await insert_generated_links(
            self._connection, self._access, drafts, self._revision, self._make_slug
        )
        self.changed = self.changed or any(links)
        return [
            LinkChangeResult(error=no_free_slug()) if link is None else LinkChangeResult(link=link)
            for link in links
        ]

    async def _carry_out(self, operation: LinkChange, draft: LinkDraft | None) -> Link | None:
        """Carry out a change. Returns the link, None for a deletion."""
        connection, access, revision = self._connection, self._access, self._revision
        if draft is not None:
            link = await insert_link(connection, access, draft, revision, self._make_slug)
            self.changed = True
            return link
        stored = await fetch_link(connection, access, validate_id(operation.link_id, "link"))
        if stored.profile_id != access.profile_id:
            raise NotFoundError.of("link")
        require_version(stored.version, operation.if_version)
        if operation.op == "delete":
            await remove_link(connection, access, stored.id, revision)
            self.changed = True
            return None
        draft = await settled_draft(connection, access, operation.draft(stored), stored)
        if apply_draft(stored, draft) == stored:
            return stored
        link = await rewrite_link(connection, access, stored, draft, revision)
        self.changed = True
        return link


def _is_unrefused(draft: LinkDraft) -> bool:
    """Return whether a creation can meet nothing that refuses it, and no other creation's result."""
    named = draft.slug is not None or draft.external_id or draft.position is not None
    return not named and draft.kind != "github"
