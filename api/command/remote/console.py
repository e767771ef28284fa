"""The console that a command calls, and its errors as lines for people."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from api.processes.owner import FILE, OwnerFile, with_urls
from engine.common.errors import WaypostError
from engine.operations import settings
from engine.operations.settings import Settings
from waypost_client import Profile, UnreachableError, WaypostClient, WaypostClientError


@contextmanager
def console(folder: Path) -> Iterator[WaypostClient]:
    """Yield a client with the key of WAYPOST_API_KEY, or of the owner of the data folder.

    Raises WaypostError for what the console refuses, and if there is no key or no console.
    """
    url, key = access(settings.read(os.environ), folder)
    try:
        with WaypostClient(url, key) as client:
            yield client
    except UnreachableError as error:
        raise WaypostError(f"{error}; is the engine running?") from None
    except WaypostClientError as error:
        raise WaypostError(str(error)) from None


def access(config: Settings, folder: Path) -> tuple[str, str]:
    """Return the console's URL and a key of it, of the settings or the data folder. Raises WaypostError."""
    if config.api_key:
        return with_urls(config).console_url, config.api_key
    owner = _owner(folder)
    return config.console_url or owner.console_url, owner.api_key


def profile_of(client: WaypostClient, handle: str | None) -> Profile | None:
    """Return the profile with this handle; without one the only profile, or None if there are more or none.

    Raises WaypostError for an unknown handle.
    """
    if handle is not None:
        profile = client.profile(handle)
        if profile is None:
            raise WaypostError(f"there is no profile with the handle {handle!r}")
        return profile
    profiles = list(client.profiles())
    return profiles[0] if len(profiles) == 1 else None


def _owner(folder: Path) -> OwnerFile:
    path = folder / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=OwnerFile)
    except FileNotFoundError:
        reason = "name the data folder with --data, or set WAYPOST_API_KEY and WAYPOST_CONSOLE_URL"
        raise WaypostError(f"there is no {path}: {reason}") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise WaypostError(f"{path} cannot be read: {error}") from None
