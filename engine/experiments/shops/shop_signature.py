"""Signatures of shops' requests: each shop's own scheme of HMAC-SHA256.

| scheme | header | signed | code |
|---|---|---|---|
| stripe | `Stripe-Signature: t=…,v1=…` | `{t}.{body}` | hex |
| paddle | `Paddle-Signature: ts=…;h1=…` | `{ts}:{body}` | hex |
| shopify | `X-Shopify-Hmac-SHA256: …` | the body | base64 |
| woocommerce | `X-WC-Webhook-Signature: …` | the body | base64 |

A signature with a time is valid for TOLERANCE before and after it. The others may be replayed: the same order
or refund counts once. Codes are compared in constant time. Several secrets hold at once, so that a shop may
change over; a header may have several codes, as shops send them meanwhile.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

TOLERANCE: Final = timedelta(minutes=5)
MAX_HEADER_CHARS: Final = 2_000
MAX_CODES: Final = 10
_TIME: Final = re.compile("[0-9]{1,12}")


class SignatureScheme(NamedTuple):
    """How a shop signs. `header` has the signature; verify(header's value, body, secrets, now) checks it."""

    header: str
    verify: Callable[[str, bytes, Sequence[str], datetime], bool]


def is_signed(
    scheme: SignatureScheme, text: str, body: bytes, secrets: Sequence[str], now: datetime
) -> bool:
    """Return whether one of `secrets` has signed the body, within the scheme's time.

    `text` is the value of the scheme's header, `now` is aware.
    """
    return 0 < len(text) <= MAX_HEADER_CHARS and scheme.verify(text, body, secrets, now)


def _with_time(
    separator: str, time_name: str, code_name: str, between: bytes
) -> Callable[[str, bytes, Sequence[str], datetime], bool]:
    """Return the check of a header with a time and codes in hex."""

    def verify(text: str, body: bytes, secrets: Sequence[str], now: datetime) -> bool:
        pairs = [part.strip().partition("=") for part in text.split(separator)]
        times = [value for name, _, value in pairs if name == time_name]
        codes = [value for name, _, value in pairs if name == code_name]
        if len(times) != 1 or _TIME.fullmatch(times[0]) is None:
            return False
        if abs(now.timestamp() - int(times[0])) > TOLERANCE.total_seconds():
            return False
        signed = times[0].encode() + between + body
        return _is_any(codes, (_digest(secret, signed).hex() for secret in secrets))

    return verify


def _of_body(text: str, body: bytes, secrets: Sequence[str], now: datetime) -> bool:
    del now  # such a signature has no time
    codes = (base64.b64encode(_digest(secret, body)).decode() for secret in secrets)
    return _is_any([text.strip()], codes)


def _digest(secret: str, signed: bytes) -> bytes:
    return hmac.digest(secret.encode(), signed, hashlib.sha256)


def _is_any(codes: Sequence[str], right_codes: Iterable[str]) -> bool:
    """Return whether any code is right, comparing each with each."""
    is_right = False
    for right_code in right_codes:
        for code in codes[:MAX_CODES]:
            is_right |= hmac.compare_digest(code.encode("utf-8", "replace"), right_code.encode())
    return is_right


STRIPE: Final = SignatureScheme("Stripe-Signature", _with_time(",", "t", "v1", b"."))
PADDLE: Final = SignatureScheme("Paddle-Signature", _with_time(";", "ts", "h1", b":"))
SHOPIFY: Final = SignatureScheme("X-Shopify-Hmac-SHA256", _of_body)
WOOCOMMERCE: Final = SignatureScheme("X-WC-Webhook-Signature", _of_body)
