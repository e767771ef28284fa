"""Signatures of webhooks: the published vectors, a receiver's library, and invalid messages."""

import base64
import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from engine.webhooks.signature import SignatureError, headers, new_key_pair, new_secret, verify
from engine.webhooks.webhook import sign

# standard-webhooks/standard-webhooks, libraries/python/tests/test_webhooks.py (MIT), and the
# specification's example of ed25519 (Apache-2.0).
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT = 1614265330
BODY = '{"test": 2432232314}'
SIGNED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
KEY = (
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
)
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
SIGNED_BY_KEY = (
    "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
)


@pytest.mark.parametrize(
    ("secret", "signature"),
    [
        (SECRET, SIGNED),
        (SECRET.removeprefix("whsec_"), SIGNED),
        # Secrets whose base64 has lost its padding.
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "v1,LVOXivKoo4FWasi/IaHvzhE/u+7/cu2AME+zS/nXqzk="),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwBr",
         "v1,yK2tMbA6BHPrMEJ1lLv7UlJJbgFoqGenJkiajZ29evg="),
        (KEY, SIGNED_BY_KEY),
    ],
)  # fmt: skip
def test_the_published_vectors_are_reproduced(secret: str, signature: str) -> None:
    for at in (AT, datetime.fromtimestamp(AT, UTC)):
        for body in (BODY, BODY.encode()):
            assert sign(secret, ID, at, body) == signature


def message_headers(**changed: str | None) -> dict[str, str]:
    """Return the headers of a signed message, with some changed, or removed where None."""
    sent = headers([SECRET], ID, AT, BODY)
    for name, value in changed.items():
        name = "webhook-" + name
        if value is None:
            del sent[name]
        else:
            sent[name] = value
    return sent


def test_a_signed_message_is_verified() -> None:
    assert message_headers() == {
        "webhook-id": ID,
        "webhook-timestamp": str(AT),
        "webhook-signature": SIGNED,
    }
    for now in (AT, AT - 300, AT + 300):
        verify(SECRET, message_headers(), BODY, now)
        verify(SECRET.removeprefix("whsec_"), message_headers(), BODY, now)
    many = f"v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,x {SIGNED} v1,also+wrong="
    verify(SECRET, message_headers(signature=many), BODY, AT)


@pytest.mark.parametrize(
    "sent",
    [
        message_headers(id=None),
        message_headers(timestamp=None),
        message_headers(signature=None),
        message_headers(timestamp="hello"),
        message_headers(timestamp="-5"),
        message_headers(signature=""),
        message_headers(signature="v1,"),
        message_headers(signature="v1"),
        message_headers(signature="v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA="),
        message_headers(signature=SIGNED.replace("v1,", "v2,")),
        message_headers(signature=SIGNED.replace("v1,", "v1a,")),
        message_headers(signature="v1,\ud800"),
        message_headers(id="msg_other"),
        message_headers(id="a.b"),
    ],
)
def test_a_message_without_a_valid_signature_is_refused(sent: dict[str, str]) -> None:
    with pytest.raises(SignatureError):
        verify(SECRET, sent, BODY, AT)


@pytest.mark.parametrize("now", [AT - 301, AT + 301])
def test_a_message_from_the_past_or_future_is_refused(now: int) -> None:
    with pytest.raises(SignatureError, match="five minutes"):
        verify(SECRET, message_headers(), BODY, now)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_!", "whsk_", "whsk_AAAA", KEY[:-8] + "AAAAAA==", "whsec_Ä"]
)
def test_an_invalid_secret_is_refused(secret: str) -> None:
    with pytest.raises(SignatureError):
        sign(secret, ID, AT, BODY)


@pytest.mark.parametrize("id_", ["", "a.b", "a b", "a\r\nx: y", "é"])
def test_an_invalid_id_is_refused(id_: str) -> None:
    with pytest.raises(SignatureError):
        sign(SECRET, id_, AT, BODY)


@given(st.binary(min_size=24, max_size=64), st.binary(min_size=24, max_size=64), st.text())
def test_receivers_accept_the_old_and_the_new_secret_during_a_rotation(
    old: bytes, new: bytes, text: str
) -> None:
    body = json.dumps({"text": text})
    sent = headers([new_secret(new), new_secret(old)], ID, int(time.time()), body)
    for random in (old, new):
        assert standardwebhooks.Webhook(new_secret(random)).verify(body, sent) == {"text": text}


@given(st.binary(min_size=32, max_size=32))
def test_a_key_pair_signs_and_verifies(seed: bytes) -> None:
    secret, public = new_key_pair(seed)
    sent = headers([secret], ID, AT, BODY)
    verify(public, sent, BODY, AT)
    with pytest.raises(SignatureError):
        verify(public, sent, BODY + " ", AT)
    assert len(base64.b64decode(secret.removeprefix("whsk_"))) == 64


def test_the_published_public_key_verifies() -> None:
    verify(PUBLIC, message_headers(signature=f"{SIGNED} {SIGNED_BY_KEY}"), BODY, AT)
    for wrong in (SIGNED, SIGNED_BY_KEY[:-6] + "AAAA==", "v1a,AAAA", "v1a,!"):
        with pytest.raises(SignatureError):
            verify(PUBLIC, message_headers(signature=wrong), BODY, AT)


def test_the_receiver_in_the_docs_accepts_valid_messages_only() -> None:
    docs = (Path(__file__).resolve().parents[3] / "docs" / "webhooks.md").read_text()
    (code,) = re.findall(r"```python\n(import base64.*?)```", docs, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    now = int(time.time())
    sent = headers(["whsec_b3RoZXIgc2VjcmV0IG9mIDI0IGJ5dGVz", SECRET], ID, now, BODY)
    assert names["verify"](SECRET, sent, BODY.encode())
    assert not names["verify"](SECRET, sent, BODY.encode() + b" ")
    assert not names["verify"](SECRET, headers([SECRET], ID, now - 301, BODY), BODY.encode())
