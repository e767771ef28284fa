"""Everything that a profile has, exported from one engine and imported into an empty one, is exported alike."""

import random
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import pytest

from api.links.imports.export import LinkExportRoutes
from engine.accounts.access import Caller
from engine.common.export import ExportFormat
from engine.links.imports.link_import import CHUNK_BYTES
from engine.links.link import Link, LinkDraft, validate_draft
from engine.links.options import Utm
from engine.links.ports import LinkChange, ProfileStore
from engine.links.preview_card import PreviewCard
from engine.links.profile import Profile, ProfileDraft
from engine.links.rules import LinkRule, RuleConditions, TimeWindow
from storage.accounts.keys import ensure_owner
from storage.jobs.jobs import PostgresJobQueue
from storage.links.imports.import_rows import PostgresLinkImporter
from storage.links.imports.imports import PostgresImportSpool, PostgresImportStore
from storage.links.profiles import PostgresProfileStore
from tests.kit.file_imports import TARGET, ImportStores
from tests.kit.hosted import hosted_run
from tests.kit.stores import FAST, OpenDatabase, opened, second_owner

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]
TIME = datetime(2026, 3, 4, 5, 6, 7, 890_123, UTC)
TEXTS = (
    "",
    "Grün",
    "=1+1",
    "'x",
    '"y"',
    "a,b;c|d",
    " spaced ",
    "@z",
    "+1",
    "-2",
    "日本語",
    "🎉",
)
NOTES = (*TEXTS, "one\r\ntwo\n\nthree", "\ttab")
FORMATS: tuple[ExportFormat, ...] = ("csv", "ndjson")
HASH = FAST.hash("secret")
# Values of each field that a row of an export carries; each link has some of them.
CHOICES: dict[str, tuple[Any, ...]] = {
    "title": TEXTS,
    "status": (301, 302, 307, 308),
    "passthrough": (True,),
    "click_id": (True,),
    "short": (True, False, None),
    "external_id": ("{n}", "sku,{n}", "=é{n}"),
    "tags": (("one",), ("a|b", "c;d", "Ünï"), ("=x", "'y")),
    "folder": TEXTS,
    "notes": NOTES,
    "hidden": (True,),
    "position": (-4, 0, 7),
    "password": (HASH,),
    "opening_clicks": (1, 10**12),
    "paused": (True,),
    "paused_reason": TEXTS,
    "quarantined": (True,),
    "quarantine_reason": TEXTS,
    "active_from": (TIME, TIME.replace(microsecond=0)),
    "active_until": (TIME + timedelta(days=900),),
    "click_limit": (1, 10**9),
    "fallback_target": (TARGET, f"{TARGET}?a=b,c&d=%22"),
    "rules": (
        (LinkRule(when=RuleConditions(device=("phone",), country=("DE", "FR")), target=TARGET),),
        (
            LinkRule(
                when=RuleConditions(
                    query={"q": (), "r": ("x,y", "é")},
                    time=TimeWindow(zone="Europe/Berlin", weekdays=("mon",), since="22:00", until="04:30"),
                    percentage=12.5,
                ),
                target=f"{TARGET}a",
            ),
            LinkRule(when=RuleConditions(ip=("10.0.0.0/8",), city=("Köln",)), target=f"{TARGET}b"),
        ),
    ),
    "utm": (Utm(source="bio"), Utm(source="=s", medium="m,", campaign="ç", term="t", content="@c")),
    "noindex": (True,),
    "extra_path": (True,),
    "preview": (PreviewCard(title="T", text='a "quoted", text'),),
}  # fmt: skip


async def test_each_field_is_tried() -> None:
    plain = {"slug", "target", "kind", "web_target"}
    assert CHOICES.keys() == set(LinkDraft.__struct_fields__) - plain


def drafts(seed: int, count: int) -> list[LinkDraft]:
    dice = random.Random(seed)
    made = [LinkDraft(slug=f"all-{n}", target=TARGET, **_fields(dice, n, 1.0)) for n in range(6)]
    made.append(LinkDraft(slug="app", target="spotify:track:1", kind="app", web_target=TARGET))
    made += [
        LinkDraft(
            slug=f"grün-{n}" if n % 7 == 0 else f"s{n}",
            target=f"{TARGET}{n}?x=%20&y=a,b#é" if n % 3 else f"mailto:a{n}@example.com",
            kind="url" if n % 3 else "mailto",
            **_fields(dice, n, dice.random(), "url" if n % 3 else "mailto"),
        )
        for n in range(7, count)
    ]
    return made


def _fields(dice: random.Random, number: int, share: float, kind: str = "url") -> dict[str, Any]:
    fields = {name: dice.choice(of) for name, of in CHOICES.items() if dice.random() <= share}
    if kind != "url":
        fields.pop("extra_path", None)
    if "external_id" in fields:
        fields["external_id"] = fields["external_id"].replace("{n}", str(number))
    return fields


async def filled(stores: ImportStores, handle: str, wanted: list[LinkDraft]) -> Profile:
    """Create a profile with these links, but those that no request can make."""
    profile = await stores.profiles.create_profile(stores.caller, ProfileDraft(handle=handle))
    for start in range(0, len(wanted), 100):
        changes = [
            LinkChange("create", partial(_given, draft)) for draft in wanted[start : start + 100]
        ]
        results, _ = await stores.profiles.change_links(stores.caller, profile.id, changes)
        assert [str(result.error) for result in results if result.error] == []
    return profile


def _given(draft: LinkDraft, _: Link | None) -> LinkDraft:
    valid, errors = validate_draft(msgspec.structs.replace(draft, password=None))
    assert valid is not None, (draft, errors)
    return msgspec.structs.replace(valid, password=draft.password)


async def exported(
    store: ProfileStore, caller: Caller, profile: Profile, format_: ExportFormat
) -> bytes:
    lines = LinkExportRoutes(store)._lines(caller, profile, format_, excel=format_ == "csv")
    return b"".join([line async for line in lines])


async def engine(open_database: OpenDatabase, caller: Caller | None = None) -> ImportStores:
    app = await open_database("waypost_app")
    if caller is None:
        owner = await ensure_owner(app, "owner@example.com", FAST)
        assert owner is not None
        caller = owner.caller
    return ImportStores(
        PostgresProfileStore(app),
        PostgresLinkImporter(app),
        PostgresImportStore(app),
        PostgresImportSpool(app),
        PostgresJobQueue(await open_database("waypost_aggregator")),
        caller,
        caller,
    )


@pytest.mark.parametrize(
    "count", [120, pytest.param(4_000, marks=[pytest.mark.large, pytest.mark.timeout(600)])]
)
async def test_a_second_export_is_the_first_byte_by_byte(database_url: str, count: int) -> None:
    async with opened(database_url) as open_database:
        first = await engine(open_database)
        ada = await filled(first, "ada", drafts(7, count))
        files = {f: await exported(first.profiles, first.caller, ada, f) for f in FORMATS}
        for format_, file in files.items():
            # Nothing is left of the first engine: neither the profile, nor its tenant's rows.
            await first.profiles.delete_profile(first.caller, ada.id)
            second = await engine(open_database, await second_owner(database_url))
            ada = await second.profiles.create_profile(second.caller, ProfileDraft(handle="ada"))
            for expected in ((count, 0, 0, 0), (0, 0, count, 0)):
                pieces = range(0, len(file), CHUNK_BYTES)
                sent = await second.sent(ada.id, *(file[at : at + CHUNK_BYTES] for at in pieces))
                await second.run()
                done = await second.read(sent)
                rejects = await second.imports.list_rejects(second.caller, ada.id, sent.id, 0, 9)
                assert (done.error, rejects.items, done.unread) == ("", [], ())
                assert done.counts == expected
                assert await exported(second.profiles, second.caller, ada, format_) == file
            first = second
