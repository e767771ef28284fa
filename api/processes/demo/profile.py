"""The demo's profile and links, and what a newcomer may try with them."""

from pathlib import Path
from typing import Final, NamedTuple

from api.processes.demo.page import demo_page
from api.processes.process import notice
from engine.common.errors import ConflictError
from engine.links.link import LinkDraft
from engine.links.profile import ProfileDraft
from engine.operations.settings import Settings
from storage.accounts.keys import first_owner
from storage.links.profiles import PostgresProfileStore
from storage.pages.pages import PostgresPageStore
from storage.postgres.database import Database

HANDLE: Final = "demo"
PROFILE: Final = ProfileDraft(handle=HANDLE, title="Ada's Garden")
LINKS: Final = (
    LinkDraft(slug="spring", target="https://example.com/spring-collection", title="Spring collection"),
    LinkDraft(slug="shop", target="https://example.com/shop", title="The shop", passthrough=True),
    LinkDraft(slug="video", target="https://example.org/watch?v=garden", title="Garden tour, the video"),
    LinkDraft(slug="newsletter", target="https://example.net/newsletter", title="Newsletter", status=301),
    LinkDraft(slug="write", target="mailto:ada@example.com", title="Write to me", kind="mailto"),
)  # fmt: skip


class DemoProfile(NamedTuple):
    """A profile that was created: ids of its tenant, of itself, and of its links in their order."""

    tenant_id: int
    profile_id: int
    links: list[int]


async def ensure(database: Database) -> DemoProfile | None:
    """Create the demo profile with its page; None: its handle is taken, or there is no owner."""
    caller = await first_owner(database)
    if caller is None:
        return None
    store = PostgresProfileStore(database)
    try:
        profile = await store.create_profile(caller, PROFILE)
    except ConflictError:
        return None
    links = [(await store.create_link(caller, profile.id, link))[0].id for link in LINKS]
    pages = PostgresPageStore(database)
    await pages.put_draft(caller, profile.id, demo_page(links))
    await pages.publish(caller, profile.id)
    notice(f"demo profile created with {len(LINKS)} links and a page")
    return DemoProfile(caller.tenant_id, profile.id, links)


def hints(settings: Settings, credentials: Path) -> list[str]:
    """Return lines with the demo page's URL and two commands to try."""
    visitors, console = settings.visitors_url, settings.console_url
    key = f"$(python3 -c \"import json;print(json.load(open('{credentials}'))['api_key'])\")"
    return [
        f"look at   {visitors}/@{HANDLE}",
        f"try       curl -i {visitors}/{HANDLE}/{LINKS[0].slug}",
        f'and then  curl -H "Authorization: Bearer {key}" {console}/v1/profiles',
    ]
