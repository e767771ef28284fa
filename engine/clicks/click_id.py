"""A click id: the text that a target gets (`wp_click=…`) and sends back with a conversion.

It has the facts of the click, sealed: encrypted and authenticated under a secret of the deployment. So it
reveals nothing, cannot be forged, and needs no look-up however late it comes back.

AES-SIV (RFC 5297), which needs no nonce: equal clicks would have equal ids, and the time in microseconds with
the visitor's pseudonym keeps them apart. Sealing takes 2.5 µs, for links with `click_id` only.
"""

import base64
import binascii
from hashlib import blake2b
from struct import Struct
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from engine.clicks.click import VISITOR_BYTES

PARAMETER: Final = b"wp_click="
MAX_CHARS: Final = 128
_LAYOUT: Final = Struct(">qqqqqHBB8s")
_BOUND_TO: Final = [b"waypost click id 1"]  # the version, which the seal covers too


class ClickId(NamedTuple):
    """The facts of a click. Without an experiment `experiment_id` is 0, and `visitor_id` is empty if it is
    unknown; `by_cookie`: a cookie identifies the visitor, not a pseudonym of a day."""

    tenant_id: int
    profile_id: int
    link_id: int
    at_us: int
    experiment_id: int = 0
    phase: int = 0
    variant: int = 0
    by_cookie: bool = False
    visitor_id: bytes = b""


class ClickIdCipher:
    """The cipher of click ids, under a secret of 32 bytes."""

    __slots__ = ("_cipher",)

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESSIV(blake2b(b"click ids", key=secret, digest_size=64).digest())

    def seal(self, click: ClickId) -> bytes:
        """Return the sealed click id: 91 characters that may stand in a URL."""
        plain = _LAYOUT.pack(*click)
        return _written(self._cipher.encrypt(plain, _BOUND_TO))

    def open(self, text: str) -> ClickId | None:
        """Return the click id of a sealed text; None for a text that this secret has not sealed."""
        if len(text) > MAX_CHARS:
            return None
        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
            plain = self._cipher.decrypt(sealed, _BOUND_TO)
        except (binascii.Error, ValueError, InvalidTag):
            return None
        # Base64 can be read in several spellings; only the one that seal() writes is valid.
        if len(plain) != _LAYOUT.size or _written(sealed) != text.encode():
            return None
        click_id = ClickId._make(_LAYOUT.unpack(plain))
        is_unknown = click_id.visitor_id == bytes(VISITOR_BYTES)
        return click_id._replace(
            by_cookie=bool(click_id.by_cookie),
            visitor_id=b"" if is_unknown else click_id.visitor_id,
        )


def _written(sealed: bytes) -> bytes:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=")
