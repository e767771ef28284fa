"""Signatures of webhooks after Standard Webhooks 1.0.

A signature covers `{id}.{timestamp}.{body}`. A `whsec_` secret signs by HMAC-SHA256 (`v1`), a `whsk_` key by
ed25519 (`v1a`), for receivers that should be able to verify but not to sign. The header has one signature for
each valid secret, separated by blanks.

Source: the specification's sections "Signature scheme" and "Verifying signatures".
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

HMAC_PREFIX: Final = "whsec_"
KEY_PREFIX: Final = "whsk_"
PUBLIC_PREFIX: Final = "whpk_"
SECRET_BYTES: Final = 32  # the specification asks for 24 to 64
TOLERANCE_S: Final = 300
ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"
_ID: Final = re.compile(r"[!-\-/-~]{1,256}")  # visible ASCII without the full stop
_TIMESTAMP: Final = re.compile(r"[0-9]{1,15}")
_MAX_SIGNATURES: Final = 16


class SignatureError(ValueError):
    """An invalid secret, id or timestamp, or a message without a valid signature. The text is the reason."""


def sign(secret: str, id: str, timestamp: int | datetime, body: bytes | str) -> str:
    """Return the signature of one message: `v1,<base64>`, or `v1a,<base64>` with a `whsk_` key.

    `secret` may lack `whsec_` and base64's padding. `timestamp` is in whole seconds since 1970, or an aware
    datetime. Raises SignatureError for an invalid secret, id or timestamp.
    """
    content = _content(id, timestamp, body)
    if secret.startswith(KEY_PREFIX):
        signature = _signing_key(secret).sign(content).signature
        return "v1a," + base64.b64encode(signature).decode("ascii")
    return "v1," + base64.b64encode(_hmac(secret, content)).decode("ascii")


def headers(
    secrets: Sequence[str], id: str, timestamp: int | datetime, body: bytes | str
) -> dict[str, str]:
    """Return the three headers of a message, signed with each of the secrets."""
    return {
        ID_HEADER: id,
        TIMESTAMP_HEADER: str(_seconds(timestamp)),
        SIGNATURE_HEADER: " ".join(sign(secret, id, timestamp, body) for secret in secrets),
    }


def verify(secret: str, message_headers: Mapping[str, str], body: bytes | str, now: int) -> None:
    """Raise SignatureError unless a message was signed, and within five minutes of `now` (seconds since 1970).

    `secret` is a `whsec_` secret or a `whpk_` public key. Names of headers are in lower case.
    """
    id_, timestamp, signatures = (
        message_headers.get(name, "") for name in (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)
    )
    if not id_ or not signatures:
        raise SignatureError("webhook-id or webhook-signature is missing")
    if _TIMESTAMP.fullmatch(timestamp) is None:
        raise SignatureError("webhook-timestamp is missing or not a whole number of seconds")
    if abs(int(timestamp) - now) > TOLERANCE_S:
        raise SignatureError("webhook-timestamp is more than five minutes from now")
    content = _content(id_, int(timestamp), body)
    version = "v1a" if secret.startswith(PUBLIC_PREFIX) else "v1"
    for versioned in signatures.split(" ")[:_MAX_SIGNATURES]:
        signature_version, _, signature = versioned.partition(",")
        if signature_version == version and signature and _matches(secret, content, signature):
            return
    raise SignatureError(f"no {version} signature matches")


def new_secret(random: bytes) -> str:
    """Return a `whsec_` secret of random bytes."""
    return HMAC_PREFIX + base64.b64encode(random).decode("ascii")


def new_key_pair(seed: bytes) -> tuple[str, str]:
    """Return (`whsk_` key, `whpk_` public key) from 32 random bytes."""
    key = SigningKey(seed)
    public = bytes(key.verify_key)
    secret = base64.b64encode(seed + public).decode("ascii")
    return KEY_PREFIX + secret, PUBLIC_PREFIX + base64.b64encode(public).decode("ascii")


def _content(id_: str, timestamp: int | datetime, body: bytes | str) -> bytes:
    if _ID.fullmatch(id_) is None:
        raise SignatureError("the id must be 1 to 256 visible ASCII characters without a full stop")
    head = f"{id_}.{_seconds(timestamp)}.".encode("ascii")
    return head + (body.encode("utf-8") if isinstance(body, str) else body)


def _seconds(timestamp: int | datetime) -> int:
    if isinstance(timestamp, int):
        return timestamp
    if timestamp.tzinfo is None:
        raise SignatureError("the timestamp must have a time zone")
    return int(timestamp.astimezone(UTC).timestamp())


def _hmac(secret: str, content: bytes) -> bytes:
    return hmac.digest(_bytes(secret.removeprefix(HMAC_PREFIX)), content, hashlib.sha256)


def _signing_key(secret: str) -> SigningKey:
    """Parse a `whsk_` key: a seed of 32 bytes, which the 32 bytes of the public key may follow."""
    data = _bytes(secret.removeprefix(KEY_PREFIX))
    if len(data) not in (32, 64):
        raise SignatureError("the whsk_ key must have 32 or 64 bytes")
    key = SigningKey(data[:32])
    if len(data) == 64 and bytes(key.verify_key) != data[32:]:
        raise SignatureError("the two halves of the whsk_ key do not belong together")
    return key


def _matches(secret: str, content: bytes, signature: str) -> bool:
    if not secret.startswith(PUBLIC_PREFIX):
        expected = base64.b64encode(_hmac(secret, content))
        return hmac.compare_digest(expected, signature.encode("utf-8", "replace"))
    public = _bytes(secret.removeprefix(PUBLIC_PREFIX))
    try:
        VerifyKey(public).verify(content, _bytes(signature))
    except (BadSignatureError, ValueError):
        return False
    return True


def _bytes(text: str) -> bytes:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise SignatureError("the secret is not base64") from None
    if not data:
        raise SignatureError("the secret is empty")
    return data
