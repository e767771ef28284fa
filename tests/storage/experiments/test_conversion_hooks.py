"""Conversion hooks: created, listed, changed, deleted and bounded; in memory and in Postgres."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import asyncpg
import msgspec
import pytest

from engine.common.errors import ConflictError, NotFoundError
from engine.experiments.conversion_hook import HookDraft, HookFieldPaths
from engine.experiments.ports import ConversionHookStore
from storage.bridge import in_asyncio
from storage.experiments.conversion_hooks import PostgresConversionHookStore
from storage.experiments.memory_conversion_hooks import MemoryConversionHookStore
from storage.links.memory_profiles import MemoryProfiles
from tests.kit.hosted import hosted_run
from tests.kit.stores import ExperimentStores, opened, postgres_experiments
from tests.storage.experiments.test_experiments import started

pytestmark = pytest.mark.trio(run=hosted_run)


class Shop(NamedTuple):
    """A store of hooks, and the stores of their profiles."""

    store: ConversionHookStore
    experiments: ExperimentStores


@pytest.fixture
async def shop(place: str, experiments: ExperimentStores) -> AsyncIterator[Shop]:
    if not place:
        assert isinstance(experiments.profiles, MemoryProfiles)
        yield Shop(MemoryConversionHookStore(experiments.profiles), experiments)
        return
    async with opened(place) as open_database:
        yield Shop(PostgresConversionHookStore(await open_database("waypost_app")), experiments)


async def test_hooks_are_created_listed_and_deleted(shop: Shop) -> None:
    running = await started(shop.experiments)
    me, them, profile_id = shop.experiments.caller, shop.experiments.other, running.profile_id
    draft = HookDraft(label="shop", name="order", fields=HookFieldPaths(click_id="a.b", value=None))
    hook, token = await shop.store.create_hook(me, profile_id, draft)
    assert token.startswith("wph_")
    assert await shop.store.list_hooks(me, profile_id, 0, 10) == ([hook], None)
    hook_row = await shop.store.hook_of(token)
    assert hook_row == (me.tenant_id, profile_id, "order", "custom", draft.fields, 1, ())
    assert await shop.store.hook_of(token + "x") is None
    assert await shop.store.hook_of("ü") is None
    for call in (shop.store.list_hooks(them, profile_id, 0, 10),
                 shop.store.create_hook(them, profile_id, draft),
                 shop.store.delete_hook(them, profile_id, hook.id),
                 shop.store.delete_hook(me, profile_id, hook.id + 1)):  # fmt: skip
        with pytest.raises(NotFoundError):
            await call
    await shop.store.delete_hook(me, profile_id, hook.id)
    assert await shop.store.hook_of(token) is None


async def test_a_profile_has_a_bounded_number_of_hooks(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("conversion_hooks", "memory_conversion_hooks"):
        monkeypatch.setattr(f"storage.experiments.{module}.MAX_HOOKS", 2)
    running = await started(shop.experiments)
    me, profile_id = shop.experiments.caller, running.profile_id
    draft = HookDraft(label="shop", name="order", fields=HookFieldPaths(click_id="a", value=None))
    hooks = [(await shop.store.create_hook(me, profile_id, draft))[0] for _ in range(2)]
    with pytest.raises(ConflictError, match="at most"):
        await shop.store.create_hook(me, profile_id, draft)
    await shop.store.delete_hook(me, profile_id, hooks[0].id)
    await shop.store.create_hook(me, profile_id, draft)


async def test_a_hook_changes_its_secrets_without_telling_them(shop: Shop) -> None:
    running = await started(shop.experiments)
    me, them, profile_id = shop.experiments.caller, shop.experiments.other, running.profile_id
    hook, token = await shop.store.create_hook(
        me, profile_id, HookDraft(label="s", shop="stripe", value_factor=None)
    )
    assert (hook.shop, hook.value_factor, hook.secrets) == ("stripe", None, 0)
    secrets = ["whsec_new", "whsec_old"]

    def changed(stored: HookDraft) -> HookDraft:
        return msgspec.structs.replace(stored, secrets=secrets)

    changed_hook = await shop.store.update_hook(me, profile_id, hook.id, changed)
    assert changed_hook == msgspec.structs.replace(hook, secrets=2)
    resolved = await shop.store.hook_of(token)
    assert resolved is not None
    assert resolved.secrets == tuple(secrets)
    for caller, hook_id in ((them, hook.id), (me, hook.id + 1)):
        with pytest.raises(NotFoundError):
            await shop.store.update_hook(caller, profile_id, hook_id, changed)


@pytest.mark.slow
async def test_the_log_tells_that_secrets_changed_and_not_which(database_url: str) -> None:
    async with opened(database_url) as open_role:
        experiments = await postgres_experiments(open_role)
        store = PostgresConversionHookStore(await open_role("waypost_app"))
        running = await started(experiments)
        draft = HookDraft(label="s", shop="stripe", secrets=["a first secret"])
        hook, _ = await store.create_hook(experiments.caller, running.profile_id, draft)
        changed = msgspec.structs.replace(draft, secrets=["a second secret"])
        await store.update_hook(experiments.caller, running.profile_id, hook.id, changed)

        async def ask() -> list[str]:
            connection = await asyncpg.connect(database_url)
            try:
                rows = await connection.fetch(
                    "SELECT a::text FROM waypost.audit_log AS a WHERE object_type = 'conversion_hook'"
                )
            finally:
                await connection.close()
            return [row[0] for row in rows]

        entries = await in_asyncio(ask)
        assert len(entries) == 2
        assert "conversion_hook.updated" in entries[1]
        assert "a first" not in str(entries)
        assert "a second" not in str(entries)
