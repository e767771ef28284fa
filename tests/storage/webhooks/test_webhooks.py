"""Webhooks and deliveries: one contract for Postgres and its twin, and cases of Postgres alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from engine.common.errors import ConflictError, ForbiddenError, LostUpdateError, NotFoundError
from engine.common.idempotency import AlreadyAnsweredError, IdempotentRequest, StoredResponse
from engine.webhooks.signature import SignatureError, sign, verify
from engine.webhooks.webhook import WebhookDraft
from tests.kit.hosted import hosted_run
from tests.kit.webhook_stores import ALL, DRAFT, Hooks

pytestmark = pytest.mark.trio(run=hosted_run)


async def test_a_webhook_is_created_read_changed_and_deleted(hooks: Hooks) -> None:
    webhook, secret = await hooks.store.create_webhook(hooks.caller, hooks.profile.id, DRAFT)
    assert secret is not None
    assert secret.startswith("whsec_")
    assert (webhook.url, webhook.event_types, webhook.version) == (DRAFT.url, ("*",), 1)
    assert await hooks.store.webhook(hooks.caller, webhook.id) == webhook
    draft = WebhookDraft(url="https://example.org/", event_types=["link.*"], enabled=False)
    changed = await hooks.store.update_webhook(hooks.caller, webhook.id, draft, 1)
    assert (changed.url, changed.enabled, changed.version) == ("https://example.org/", False, 2)
    assert await hooks.store.update_webhook(hooks.caller, webhook.id, draft) == changed
    with pytest.raises(LostUpdateError):
        await hooks.store.update_webhook(hooks.caller, webhook.id, draft, 1)
    with pytest.raises(LostUpdateError):
        await hooks.store.delete_webhook(hooks.caller, webhook.id, 1)
    await hooks.store.delete_webhook(hooks.caller, webhook.id, 2)
    with pytest.raises(NotFoundError):
        await hooks.store.webhook(hooks.caller, webhook.id)


async def test_a_profile_has_twenty_at_most_and_lists_them_in_pages(hooks: Hooks) -> None:
    webhooks = [await hooks.create() for _ in range(20)]
    with pytest.raises(ConflictError, match="20"):
        await hooks.create()
    first = await hooks.store.list_webhooks(hooks.caller, hooks.profile.id, 0, 15)
    rest = await hooks.store.list_webhooks(
        hooks.caller, hooks.profile.id, first.next_after or 0, 15
    )
    assert [*first.items, *rest.items] == webhooks
    assert rest.next_after is None
    await hooks.store.delete_webhook(hooks.caller, webhooks[3].id)
    await hooks.create()


async def test_a_deleted_webhook_takes_no_delivery_of_another(hooks: Hooks) -> None:
    gone, kept = await hooks.create(), await hooks.create()
    await hooks.happen(3)
    assert await hooks.states(gone) == await hooks.states(kept) == ["pending"] * 3
    await hooks.store.delete_webhook(hooks.caller, gone.id)
    assert await hooks.states(kept) == ["pending"] * 3


async def test_other_tenants_and_keys_without_the_scope_see_no_webhook(hooks: Hooks) -> None:
    webhook = await hooks.create()
    await hooks.happen()
    (due,) = await hooks.claim()
    weak = hooks.caller._replace(scopes=("read", "write"))
    for caller, error in ((hooks.other, NotFoundError), (weak, ForbiddenError)):
        for call in (
            hooks.store.webhook(caller, webhook.id),
            hooks.store.list_webhooks(caller, hooks.profile.id, 0, 10),
            hooks.store.create_webhook(caller, hooks.profile.id, DRAFT),
            hooks.store.update_webhook(caller, webhook.id, DRAFT),
            hooks.store.delete_webhook(caller, webhook.id),
            hooks.store.rotate_secret(caller, webhook.id),
            hooks.store.deliveries(caller, webhook.id, ALL, 0, 10),
            hooks.store.delivery(caller, webhook.id, due.event_id),
            hooks.store.replay(caller, webhook.id, due.event_id),
            hooks.store.replay_since(caller, webhook.id, datetime.now(UTC), False),
            hooks.store.replay_since(caller, webhook.id, datetime.now(UTC), False, True),
            hooks.store.summary(caller, webhook.id, 30),
            hooks.store.send_test(caller, webhook.id),
        ):
            with pytest.raises(error):
                await call
    for number in (0, -1, 2**63, 2**63 - 1, due.event_id + 1):
        with pytest.raises(NotFoundError):
            await hooks.store.delivery(hooks.caller, webhook.id, number)
        with pytest.raises(NotFoundError):
            await hooks.store.replay(hooks.caller, webhook.id, number)


async def test_a_repeated_create_makes_nothing_and_its_response_has_no_secret(
    hooks: Hooks,
) -> None:
    stored = StoredResponse(201, {}, b"{}")
    once = IdempotentRequest[Any]("key", b"x" * 32, lambda _: stored)
    await hooks.store.create_webhook(hooks.caller, hooks.profile.id, DRAFT, once)
    with pytest.raises(AlreadyAnsweredError) as replayed:
        await hooks.store.create_webhook(hooks.caller, hooks.profile.id, DRAFT, once)
    assert replayed.value.response == stored
    assert len((await hooks.store.list_webhooks(hooks.caller, hooks.profile.id, 0, 9)).items) == 1


@pytest.mark.parametrize("signature", ["v1", "v1a"])
async def test_both_secrets_sign_during_a_rotation(hooks: Hooks, signature: str) -> None:
    created = await hooks.store.create_webhook(
        hooks.caller, hooks.profile.id, msgspec.structs.replace(DRAFT, signature=signature)
    )
    await hooks.happen()
    rotated = await hooks.store.rotate_secret(hooks.caller, created.webhook.id)
    assert rotated.webhook.version == 2
    keys = [
        created.secret or created.webhook.public_key,
        rotated.secret or rotated.webhook.public_key,
    ]
    assert None not in keys
    assert keys[0] != keys[1]

    async def verified_by() -> list[bool]:
        (due,) = await hooks.claim()
        await hooks.queue.purge()
        sent = {"webhook-id": "a", "webhook-timestamp": "1"}
        sent["webhook-signature"] = " ".join(sign(secret, "a", 1, b"") for secret in due.secrets)
        verified = []
        for key in keys:
            try:
                verify(key or "", sent, b"", 1)
            except SignatureError:
                verified.append(False)
            else:
                verified.append(True)
        return verified

    assert await verified_by() == [True, True]
    await hooks.age(timedelta(hours=2))
    assert await verified_by() == [True, True]
    await hooks.age(timedelta(hours=21, minutes=59))
    assert await verified_by() == [True, True]
    await hooks.age(timedelta(minutes=2))
    assert await verified_by() == [False, True]


async def test_the_newest_ten_secrets_sign(hooks: Hooks) -> None:
    webhook, first = await hooks.store.create_webhook(hooks.caller, hooks.profile.id, DRAFT)
    rotated = [await hooks.store.rotate_secret(hooks.caller, webhook.id) for _ in range(11)]
    await hooks.happen()
    (due,) = await hooks.claim()
    assert list(due.secrets) == [new.secret for new in reversed(rotated)][:10]
    assert first not in due.secrets
