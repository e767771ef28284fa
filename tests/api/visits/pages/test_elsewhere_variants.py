"""Pages elsewhere in experiments: the variants that they show, and the pixel's exposures and outcomes."""

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from engine.assets.asset import Asset
from engine.clicks.record_items import EXPOSURES, MAX_VARIANT_REFS, OUTCOMES, VariantRef
from engine.experiments.experiment import Variant
from engine.visits.edge_assignment import preview_token
from tests.kit.delayed_profiles import TENANT
from tests.kit.experiment_labs import BOT, CHROME, Lab, experiment_lab
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import Response, get

pytestmark = pytest.mark.trio(run=hosted_run)

TITLES = (
    Variant(name="a", weight=0.5),
    Variant(name="b", weight=0.5, title="Spring!", style="filled"),
)


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with experiment_lab() as lab:
        yield lab


async def ask(
    lab: Lab,
    path: bytes,
    number: int,
    *fields: bytes,
    agent: bytes = CHROME,
    method: bytes = b"GET",
) -> Response:
    visitor = await lab.edge.visitor()
    address = b"X-Forwarded-For: 198.51.%d.%d" % divmod(number, 256)
    return await visitor.request(
        get(path, b"User-Agent: " + agent, address, *fields, method=method)
    )


async def variants(lab: Lab, number: int, *fields: bytes, agent: bytes = CHROME) -> list[Any]:
    response = await ask(lab, b"/@shop/variants.json", number, *fields, agent=agent)
    assert response.status == 200
    body = json.loads(response.body)
    assert body.keys() == {"variants"}
    return list(body["variants"])


async def hit(
    lab: Lab, number: int, refs: str, path: bytes = b"/@shop", agent: bytes = CHROME, *fields: bytes
) -> tuple[list[VariantRef], list[VariantRef]]:
    """Return the exposures and outcomes that a pixel records."""
    query = b"/pixel.gif?x=" + refs.replace(",", "%2C").encode()
    response = await ask(lab, path + query, number, *fields, agent=agent)
    assert response.headers["content-type"] == "image/gif"
    return lab.recorded(EXPOSURES)[-1], lab.recorded(OUTCOMES)[-1]


def refused(lab: Lab) -> int:
    return lab.edge.server.variants_refused


async def test_a_page_elsewhere_shows_what_its_visitor_gets_on_the_page(lab: Lab) -> None:
    id_ = await lab.run(kind="page", variants=TITLES)
    link_id = str(await lab.link("spring"))
    for number in range(16):
        (variant,) = await variants(lab, number)
        page = (await lab.visits(number + 1, b"/@shop"))[-1].body
        is_b = b"Spring!" in page
        assert variant == {
            "experiment_id": str(id_), "variant": "b" if is_b else "a", "ref": f"{id_}-1-{int(is_b)}",
            "link_id": link_id, "block_id": None, "title": "Spring!" if is_b else None,
            "picture_url": None, "position": None, "style": "filled" if is_b else None,
        }  # fmt: skip
        assert await hit(lab, number, variant["ref"]) == ([VariantRef(id_, 1, is_b)], [])
        assert await hit(lab, number, variant["ref"], b"/shop/spring") == (
            [], [VariantRef(id_, 1, is_b)]
        )  # fmt: skip
        assert await hit(lab, number, variant["ref"], b"/shop/summer") == ([], [])
    assert refused(lab) == 0


async def test_a_picture_is_a_url(lab: Lab) -> None:
    asset = Asset(
        id=12345678, profile_id=lab.profile_id, hash="ab" * 16, name="sea", content_type="image/png",
        width=800, height=600, bytes=1, renditions=(), created_at=datetime.now(UTC),
    )  # fmt: skip
    lab.edge.profiles.assets_of = lambda _: {asset.id: asset}
    shows = Variant(name="a", weight=1, picture="12345678"), Variant(name="b", weight=0)
    id_ = await lab.run(kind="page", variants=shows)
    (variant,) = await variants(lab, 1)
    assert variant["picture_url"] == "http://links.example/a/" + "ab" * 16
    lab.edge.profiles.assets_of = lambda _: {}  # it was deleted
    await lab.move(id_, "decided", "a")
    (variant,) = await variants(lab, 1)
    assert (variant["variant"], variant["picture_url"]) == ("a", None)


async def test_a_question_for_variants_is_no_visit_and_any_page_may_ask(lab: Lab) -> None:
    await lab.run(kind="page", variants=TITLES)
    response = await ask(lab, b"/@shop/variants.json", 1, b"Origin: https://front.example")
    assert response.headers["content-type"] == "application/json"
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.headers["cache-control"] == "private, no-store"
    assert "set-cookie" not in response.headers
    assert (await ask(lab, b"/@shop/variants.json", 1, method=b"HEAD")).body == b""
    for path in (b"/@none/variants.json", b"/shop/spring/variants.json", b"/variants.json"):
        assert (await ask(lab, path, 1)).status == 404
    assert lab.edge.journal.records == []
    assert lab.edge.server.variants_answered == 2


async def test_without_experiments_on_the_page_there_is_nothing_to_show(lab: Lab) -> None:
    await lab.run()
    assert await variants(lab, 1) == []


async def test_what_a_page_does_not_name_is_recorded_nowhere(lab: Lab) -> None:
    first = await lab.run(kind="page", variants=TITLES)
    await lab.run(kind="page", variants=TITLES, slug="autumn")
    spring, _ = await variants(lab, 1)
    assert await hit(lab, 1, "") == ([], [])
    exposures, _ = await hit(lab, 1, spring["ref"])
    assert [ref.experiment_id for ref in exposures] == [first]
    assert await hit(lab, 1, "", b"/shop/spring") == ([], [])
    assert refused(lab) == 0


async def test_a_variant_that_the_visitor_does_not_have_is_recorded_nowhere(lab: Lab) -> None:
    id_ = await lab.run(kind="page", variants=TITLES)
    (shown,) = await variants(lab, 1)
    variant = int(shown["variant"] == "b")
    edge = await lab.experiments.edge_experiment(TENANT, id_)
    made_up = [
        f"{id_}-1-{1 - variant}", f"{id_}-2-{variant}", f"{id_}-1-9", f"{id_ + 1}-1-{variant}",
        f"{2**63}-1-0", f"{id_}-99999-0",
    ]  # fmt: skip
    for count, ref in enumerate(made_up, 1):
        assert await hit(lab, 1, ref) == await hit(lab, 1, ref, b"/shop/spring") == ([], [])
        assert refused(lab) == 2 * count
    preview = preview_token(edge, 1 - variant, 2_000_000_000)
    for text in (preview, f"{id_}-1", "b", "%00", "-", f"0{id_}-1-{variant}", "\u0663-1-1"):
        assert await hit(lab, 1, text) == ([], [])
    assert refused(lab) == 2 * len(made_up)  # what is no reference is none
    # In another phase, a page that was loaded before shows another variant than the visitor gets.
    assert await hit(lab, 1, ",".join([made_up[0], shown["ref"]])) == (
        [VariantRef(id_, 1, variant)], []
    )  # fmt: skip


async def test_a_preview_shows_a_variant_elsewhere_and_counts_nobody(lab: Lab) -> None:
    id_ = await lab.run("draft", kind="page", variants=TITLES)
    token = preview_token(await lab.experiments.edge_experiment(TENANT, id_), 1, 2_000_000_000)
    assert await variants(lab, 1) == []
    for state in ("running", "paused"):
        for query in (f"wp_variant={token}", f"utm_source=x&wp_variant={token}&a=b"):
            path = b"/@shop/variants.json?" + query.encode()
            (shown,) = json.loads((await ask(lab, path, 1)).body)["variants"]
            assert (shown["variant"], shown["title"], shown["ref"]) == ("b", "Spring!", None)
        await lab.move(id_, state)
    await lab.move(id_, "running")
    (own,) = await variants(lab, 1)
    for forged in (token[:-1] + "AB"[token[-1] == "A"], f"{id_}-1-1", "b"):
        path = f"/@shop/variants.json?wp_variant={forged}".encode()
        assert json.loads((await ask(lab, path, 1)).body)["variants"] == [own]


async def test_a_pixel_names_as_many_variants_as_run_on_a_page(lab: Lab) -> None:
    await lab.run(kind="page", variants=TITLES)
    (shown,) = await variants(lab, 1)
    others = ",".join(f"{n}-1-0" for n in range(1, MAX_VARIANT_REFS))
    assert len((await hit(lab, 1, f"{others},,{shown['ref']}"))[0]) == 1
    assert len((await hit(lab, 1, f"{others},9-1-0,{shown['ref']}"))[0]) == 0


async def test_machines_and_pages_loaded_ahead_count_for_nothing(lab: Lab) -> None:
    id_ = await lab.run(kind="page", variants=TITLES)
    for number in range(8):
        (shown,) = await variants(lab, number)
        (of_bot,) = await variants(lab, number, agent=BOT)
        assert (of_bot["variant"], of_bot["ref"]) == ("a", None)
        for ref in (f"{id_}-1-0", f"{id_}-1-1"):
            assert await hit(lab, number, ref, b"/@shop", BOT) == ([], [])
        prefetch = b"Sec-Purpose: prefetch;prerender"
        assert await hit(lab, number, shown["ref"], b"/@shop", CHROME, prefetch) == ([], [])
    assert refused(lab) == 0


async def test_an_experiment_by_cookie_takes_no_part(lab: Lab) -> None:
    id_ = await lab.run(kind="page", variants=TITLES, cookie=True)
    cookie = b"Cookie: wp_v=" + b"A" * 22
    for number in range(6):
        (variant,) = await variants(lab, number, cookie)
        assert (variant["variant"], variant["ref"]) == ("a", None)
        for ref in (f"{id_}-1-0", f"{id_}-1-1"):
            for path in (b"/@shop", b"/shop/spring"):
                assert await hit(lab, number, ref, path, CHROME, cookie) == ([], [])


async def test_an_own_event_takes_no_part(lab: Lab) -> None:
    await lab.run(kind="page", variants=TITLES)
    (variant,) = await variants(lab, 1)
    assert await hit(lab, 1, variant["ref"] + "&event=signup") == ([], [])


async def test_the_script_asks_for_variants_and_names_them(lab: Lab) -> None:
    script = (await ask(lab, b"/waypost.js", 1)).body.decode()
    assert "/variants.json" in script
    assert re.search(r"x: w\.waypostRefs \|\| s\.dataset\.refs", script)
