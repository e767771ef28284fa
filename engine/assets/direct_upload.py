"""A direct upload: a picture that a member's client sends to the object store, at an address that we sign."""

import re
from typing import Final, NamedTuple

SIGNED_FOR_S: Final = 900
# Longer than any address works, so what is older is of no use to anybody.
UPLOAD_KEPT_S: Final = 3_600
PREFIX: Final = "uploads"
_ID: Final = re.compile("[0-9a-f]{32}")


class UploadTooLargeError(Exception):
    """An upload with more bytes than are taken."""


class SignedUpload(NamedTuple):
    """A request by which a client sends a file to the store: PUT with these headers."""

    url: str
    headers: dict[str, str]


class UploadKey(NamedTuple):
    """A direct upload of a profile. `id` is 32 hexadecimal digits."""

    tenant_id: int
    profile_id: int
    id: str

    @property
    def path(self) -> str:
        """The path of its object behind the store's own."""
        return f"{PREFIX}/{self.tenant_id}/{self.profile_id}/{self.id}"


def is_upload_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None
