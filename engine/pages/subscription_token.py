"""Tokens in the links of mails to subscribers, by which they confirm an address or take it off the list.

A token is `id-expiry-signature`, signed under a secret of the deployment with its purpose and its profile; an
expiry of 0 is none. It names no address, so none stands in a history or a log.
"""

import base64
import hmac
import re
from hashlib import blake2b
from typing import Final, Literal, NamedTuple

CONFIRM_LIFETIME_S: Final = 86_400
NEVER: Final = 0
_TOKEN: Final = re.compile("([0-9]{1,19})-([0-9]{1,12})-([A-Za-z0-9_-]{22})")
_SIGNATURE_BYTES: Final = 16
_MAX_ID: Final = 2**63 - 1

Purpose = Literal["confirm", "leave"]


class TokenScope(NamedTuple):
    """The purpose of a token, and the profile that it is for."""

    purpose: Purpose
    tenant_id: int
    profile_id: int


class SubscriptionTokens:
    """Signs and checks tokens. `secret` has at most 64 bytes."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def token(self, scope: TokenScope, request_id: int, until_s: int) -> str:
        """Return a token for a request that works until a Unix time, or NEVER ends."""
        return f"{request_id}-{until_s}-{self._signature(scope, request_id, until_s)}"

    def request_id(self, scope: TokenScope, token: str, now_s: int) -> int | None:
        """Return the request of a token; None if it has expired, or was not signed for this scope."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        request_id, until_s = int(match[1]), int(match[2])
        if request_id > _MAX_ID or (until_s != NEVER and until_s <= now_s):
            return None
        signature = self._signature(scope, request_id, until_s)
        return request_id if hmac.compare_digest(match[3], signature) else None

    def _signature(self, scope: TokenScope, request_id: int, until_s: int) -> str:
        text = " ".join(map(str, (*scope, request_id, until_s))).encode()
        mac = blake2b(
            text, digest_size=_SIGNATURE_BYTES, key=self._secret, person=b"wp-subscription"
        )
        return base64.urlsafe_b64encode(mac.digest()).rstrip(b"=").decode()
