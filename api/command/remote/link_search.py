"""The link that an argument of the command line names."""

from collections.abc import Iterator
from typing import Final

from api.command.remote.console import profile_of
from engine.common.errors import WaypostError
from waypost_client import ApiError, Link, WaypostClient

NOT_FOUND: Final = 404


def link_of(client: WaypostClient, text: str, handle: str | None) -> Link:
    """Return the link with this slug, `handle/slug`, address or id. Raises WaypostError.

    A slug alone is that of the profile with `handle`, else of the short address, else of the only profile.
    """
    for path in _addresses(client, text, handle):
        try:
            return client.look_up_link(path)
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
    if text.isdecimal():
        try:
            return client.link(text)
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
    raise WaypostError(f"there is no link {text!r}; `waypost links list` shows all")


def _addresses(client: WaypostClient, text: str, handle: str | None) -> Iterator[str]:
    """Yield the addresses that a text may mean, the likeliest first."""
    if "://" in text:
        yield text
        return
    is_slug = text != "" and "/" not in text
    if not is_slug:
        yield "/" + text.removeprefix("/")
    elif handle is None:
        yield f"/{text}"
    if handle is None and (profile := profile_of(client, None)) is not None:
        handle = profile.handle
    if handle is not None and text:
        own = handle.removeprefix("@")
        if is_slug:
            yield f"/{own}/{text}"
        yield f"/~{own}/{text}"  # a slug that a domain allows
