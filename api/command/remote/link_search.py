"""The link that an argument of the command line names."""

from typing import Final

from api.command.remote.console import profile_of
from engine.common.errors import WaypostError
from waypost_client import ApiError, Link, WaypostClient

NOT_FOUND: Final = 404


def link_of(client: WaypostClient, text: str, handle: str | None) -> Link:
    """Return the link with this slug, `handle/slug`, address or id. Raises WaypostError.

    A slug alone is that of the profile with `handle`, else of the short address, else of the only profile.
    """
    is_slug = text != "" and "/" not in text
    if not is_slug:
        paths = [text if "://" in text else "/" + text.removeprefix("/")]
    elif handle is not None:
        paths = [f"/{handle.removeprefix('@')}/{text}"]
    else:
        paths = [f"/{text}"]
        if (profile := profile_of(client, None)) is not None:
            paths.append(f"/{profile.handle}/{text}")
    for path in paths:
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
