"""`waypost links`: add, list, edit, delete and open links."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from api.command.help import CommandGroup
from api.command.paths import FolderPath
from engine.common.errors import WaypostError
from engine.links.link import STATUSES
from engine.links.link_query import SORTS, STATES
from engine.links.target import TARGET_KINDS

DATA = click.option(
    "--data", "folder", type=FolderPath(), default=Path("waypost-data"), show_default=True,
    metavar="DIR", help="data folder, whose owner's key is used unless WAYPOST_API_KEY is set",
)  # fmt: skip
PROFILE = click.option("--profile", "handle", metavar="HANDLE",
                       help="profile of the link; default: the oldest one")  # fmt: skip
AS_JSON = click.option("--json", "as_json", is_flag=True, help="print JSON, one object per line")
SORT_CHOICES = [sign + sort for sort in SORTS for sign in ("", "-")]


@click.group(cls=CommandGroup)
def links() -> None:
    """Add, list, edit, delete and open links.

    Goes through the console's API, of a running engine on this machine or another. LINK is a slug, HANDLE/SLUG,
    the address that visitors use, or an id.
    """


def fields(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for a link's fields. The command's help says what becomes of a field without one."""
    option = click.option
    options = (
        option("--slug", help="end of the address"),
        option("--kind", type=click.Choice(TARGET_KINDS), help="kind of the target; of a new link url"),
        option("--web-target", metavar="URL",
               help="target of visitors on no phone or tablet, with the kind app"),
        option("--extra-path/--exact-path", default=None,
               help="whether names behind the address go on behind the target"),
        option("--title", help="text on the profile's page"),
        option("--tag", "tags", multiple=True, help="tag; several with several --tag"),
        option("--folder", "link_folder", metavar="NAME", help="folder of the link"),
        option("--notes", help="notes for members"),
        option("--external-id", metavar="ID", help="id in another system"),
        option("--status", type=click.Choice([str(status) for status in STATUSES]),
               help="status of the redirect; of a new link 302"),
        option("--password", help="password that visitors are asked for; empty: none"),
        option("--click-limit", type=click.IntRange(0), metavar="N",
               help="number of visits that may pass; 0: any number"),
        option("--fallback-target", metavar="URL", help="target while the link is closed"),
        option("--active-from", metavar="TIME", help="first moment, as RFC 3339; empty: at once"),
        option("--active-until", metavar="TIME", help="end, as RFC 3339; empty: never"),
        option("--hidden/--shown", default=None, help="absence from the profile's page"),
        option("--paused/--resumed", default=None, help="closure to visitors"),
        option("--quarantined/--released", default=None, help="page that warns visitors"),
    )  # fmt: skip
    for add_option in reversed(options):
        command = add_option(command)
    return command


def body_of(options: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a request that options name. An empty text clears a field."""
    body = {name: value for name, value in options.items() if value is not None}
    if tags := body.pop("tags", ()):
        body["tags"] = [tag for tag in tags if tag]
    if "link_folder" in body:
        body["folder"] = body.pop("link_folder")
    if "status" in body:
        body["status"] = int(body["status"])
    for name in ("password", "active_from", "active_until", "click_limit"):
        if name in body:
            body[name] = body[name] or None
    return body


@links.command()
@click.argument("target")
@fields
@PROFILE
@click.option("--if-exists", type=click.Choice(["refuse", "return"]), default="refuse",
              show_default=True, help="treatment of a slug, or else a target, that has a link")  # fmt: skip
@DATA
@AS_JSON
def add(
    target: str, handle: str | None, if_exists: str, folder: Path, as_json: bool, **options: Any
) -> None:
    """Add a link to TARGET, and print its address.

    Fields without an option stay empty; a link without a slug gets a short one.
    """
    from api.command.remote.console import console, profile_of
    from api.command.remote.link_output import show_link

    with console(folder) as client:
        profile = profile_of(client, handle) if handle is not None else None
        profile_id = None if profile is None else profile.id
        link = client.create_link(target, profile_id, if_exists=if_exists, **body_of(options))
    show_link(link, as_json=as_json)


@links.command(name="list")
@click.option("--profile", "handle", metavar="HANDLE", help="one profile; default: all profiles")
@click.option("-q", "--search", "q",
              help="text in the slug, title, target, notes or external id; default: all links")  # fmt: skip
@click.option("--tag", help="links with this tag; default: all links")
@click.option(
    "--folder", "link_folder", metavar="NAME", help="links of this folder; default: all links"
)
@click.option("--state", type=click.Choice(STATES), help="links in one state; default: all links")
@click.option("--sort", type=click.Choice(SORT_CHOICES), metavar="ORDER",
              help=f"{', '.join(SORTS)}; with - the other way round; default: created")  # fmt: skip
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=1_000, show_default=True,
              help="largest number of links")  # fmt: skip
@DATA
@AS_JSON
def list_(
    handle: str | None,
    link_folder: str | None,
    limit: int,
    folder: Path,
    as_json: bool,
    **filters: str | None,
) -> None:
    """List links with their addresses and targets."""
    from itertools import islice

    from api.command.remote.console import console, profile_of
    from api.command.remote.link_output import show_links

    question = {name: value for name, value in {**filters, "folder": link_folder}.items() if value}
    with console(folder) as client:
        profile = profile_of(client, handle)
        profiles = [profile] if profile is not None else list(client.profiles())
        every = (link for each in profiles for link in client.links(each.id, **question))
        show_links(list(islice(every, limit)), as_json=as_json)


@links.command()
@click.argument("link")
@click.option("--target", metavar="URL", help="target of the link")
@fields
@PROFILE
@DATA
@AS_JSON
def edit(
    link: str, handle: str | None, folder: Path, as_json: bool, target: str | None, **options: Any
) -> None:
    """Change the named fields of LINK, and print its address.

    Fields without an option stay as they are.
    """
    from api.command.remote.console import console
    from api.command.remote.link_output import show_link
    from api.command.remote.link_search import link_of

    body = body_of(options)
    if target is None and not body:
        raise WaypostError("nothing to change: name a field, such as --target URL")
    with console(folder) as client:
        changed = client.update_link(link_of(client, link, handle).id, target=target, **body)
    show_link(changed, as_json=as_json)


@links.command()
@click.argument("link", nargs=-1, required=True)
@PROFILE
@DATA
def delete(link: tuple[str, ...], handle: str | None, folder: Path) -> None:
    """Delete each LINK. Their counts stay."""
    from api.command.remote.console import console
    from api.command.remote.link_search import link_of

    with console(folder) as client:
        for chosen in [link_of(client, text, handle) for text in link]:
            client.delete_link(chosen.id)
            click.echo(f"deleted {chosen.address}")


@links.command(name="open")
@click.argument("link")
@PROFILE
@click.option("--print", "only_print", is_flag=True, help="print the address without a browser")
@DATA
def open_(link: str, handle: str | None, only_print: bool, folder: Path) -> None:
    """Open LINK in the browser, and print its address. The visit is counted."""
    from api.command.remote.console import console
    from api.command.remote.link_search import link_of

    with console(folder) as client:
        address = link_of(client, link, handle).address
    click.echo(address)
    if not only_print and click.launch(address) != 0:
        raise WaypostError("no browser could be started; --print only prints the address")
