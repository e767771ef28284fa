"""Seal of stored responses that hold a secret, such as a new API key.

Theory of operation. The same request with the same Idempotency-Key must get its first response again, secret
included, and yet no table, backup or replica may hold a secret in clear. So the key of the seal is made of the
credential of the request: an API key or a session's token, each of at least 256 random bits. Waypost keeps only
the SHA-256 of these, from which the seal's key cannot be made. Only the caller who may have the response brings
what opens it, for as long as the response is kept, and the deployment has no key to guard or to rotate.

Rejected: a key of the deployment (shared_secret() stands in the database beside the responses), and the
Idempotency-Key as the secret (it is the caller's choice, often a counter).

AES-SIV (RFC 5297), which needs no nonce; HKDF (RFC 5869) makes the key.
"""

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_KEY_BYTES: Final = 64
_BOUND_TO: Final = b"waypost stored response 1"  # the version, which the seal covers too


class ResponseSeal:
    """The seal of responses to requests with this credential, a text of at least 256 random bits."""

    __slots__ = ("_cipher",)

    def __init__(self, credential: str) -> None:
        key = HKDF(SHA512(), _KEY_BYTES, salt=None, info=_BOUND_TO).derive(credential.encode())
        self._cipher = AESSIV(key)

    def seal(self, response: bytes, bound_to: bytes) -> bytes:
        """Return the sealed response. It opens with an equal `bound_to` only."""
        return self._cipher.encrypt(response, [_BOUND_TO, bound_to])

    def open(self, sealed: bytes, bound_to: bytes) -> bytes | None:
        """Return the response; None if another credential sealed it, or for another request."""
        try:
            return self._cipher.decrypt(sealed, [_BOUND_TO, bound_to])
        except InvalidTag:
            return None
