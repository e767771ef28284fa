"""`GET /v1/links/{id}/qr` and `GET /v1/profiles/{id}/qr`."""

import io
from typing import Final

from PIL import Image

from engine.accounts.access import Caller
from engine.assets.asset import AssetDraft, Rendition, StoredPicture
from engine.links.codes.qr import QrLook, qr_image
from engine.links.codes.qr_logo import qr_image_with_logo
from engine.links.domain import TxtAnswer, look_result
from tests.kit.consoles import VISITORS, Console

ONE: Final = Caller(1, 1)


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(file, "WEBP")
    return file.getvalue()


PICTURE: Final = picture()


async def test_the_code_of_a_link_and_of_a_page() -> None:
    console = Console()
    profile = await console.profile()
    links = f"/v1/profiles/{profile['id']}/links"
    for body, address in (
        ({"slug": "a", "target": "https://a.example/"}, "/a"),
        (
            {"slug": "b", "target": "https://b.example/", "short": False},
            f"/{profile['handle']}/b",
        ),
    ):
        link = (await console.call("POST", links, body)).json
        response = await console.call("GET", f"/v1/links/{link['id']}/qr")
        assert (response.status, response.headers["content-type"]) == (200, "image/svg+xml")
        assert response.body == qr_image(VISITORS + address, QrLook())
        query = "?format=png&size=256&dark=14213d&light=fefefe&error=h"
        response = await console.call("GET", f"/v1/links/{link['id']}/qr{query}")
        look = QrLook("png", 256, "14213d", "fefefe", "h")
        assert response.headers["content-type"] == "image/png"
        assert response.body == qr_image(VISITORS + address, look)
        (await console.call("GET", f"/v1/links/{link['id']}/qr", key="two")).problem(404)
    page = await console.call("GET", f"/v1/profiles/{profile['id']}/qr")
    assert page.body == qr_image(f"{VISITORS}/@{profile['handle']}", QrLook())
    bad = await console.call("GET", f"/v1/profiles/{profile['id']}/qr?dark=fff000&size=7&tint=x")
    assert bad.problem(422).keys() == {"size", "tint"}
    bad = await console.call("GET", f"/v1/profiles/{profile['id']}/qr?dark=fff000")
    assert bad.problem(422).keys() == {"dark"}


async def test_a_code_leads_to_a_domain_of_the_profile_that_is_verified() -> None:
    console = Console()
    profile = await console.profile()
    link = await console.link(profile["id"], "spring")
    url = f"/v1/profiles/{profile['id']}"
    domain = (await console.call("POST", url + "/domains", {"host": "bücher.example"})).json
    code = f"/v1/links/{link['id']}/qr?domain=B%C3%BCcher.example"
    assert (await console.call("GET", code)).problem(422).keys() == {"domain"}
    answer = TxtAnswer((domain["txt_record"]["value"],))
    due = await console.domains.claim(10)
    await console.domains.record([look_result(each, answer) for each in due])
    own = f"https://{domain['host']}"
    assert (await console.call("GET", code)).body == qr_image(f"{own}/spring", QrLook())
    page = await console.call("GET", f"{url}/qr?domain={domain['host']}")
    assert page.body == qr_image(f"{own}/@{profile['handle']}", QrLook())
    other = (await console.profile("other"))["id"]
    for host in (domain["host"], "go.example", "a b", ""):
        refused = await console.call("GET", f"/v1/profiles/{other}/qr?domain={host}")
        assert refused.problem(422).keys() == {"domain"}


async def test_a_logo_is_a_picture_of_the_profile() -> None:
    console = Console()
    profile = await console.profile()
    link = await console.link(profile["id"], "spring")
    logo = await asset_of(console, profile["id"])
    address = f"{VISITORS}/spring"
    for query, look in (("", QrLook()), ("&format=png&size=256", QrLook("png", 256))):
        code = await console.call("GET", f"/v1/links/{link['id']}/qr?logo={logo}{query}")
        assert code.status == 200, code.body
        assert code.body == qr_image_with_logo(address, look, PICTURE)
    page = await console.call("GET", f"/v1/profiles/{profile['id']}/qr?logo={logo}")
    own = f"{VISITORS}/@{profile['handle']}"
    assert page.body == qr_image_with_logo(own, QrLook(), PICTURE)
    (hash_,) = console.asset_files.files
    del console.asset_files.files[hash_]
    (await console.call("GET", f"/v1/links/{link['id']}/qr?logo={logo}")).problem(503)


async def test_another_profiles_picture_is_no_logo() -> None:
    console = Console()
    link = await console.link((await console.profile())["id"], "spring")
    own_other = await asset_of(console, (await console.profile("other"))["id"])
    theirs = (await console.call("POST", "/v1/profiles", {"handle": "bob"}, key="two")).json
    strangers = await asset_of(console, theirs["id"], Caller(2, 2))
    for logo in (own_other, strangers, 10**18, "0", "x", "", "-1", "9" * 19, "9" * 30):
        code = f"/v1/links/{link['id']}/qr?logo={logo}"
        errors = (await console.call("GET", code)).problem(422)
        assert errors == {"logo": "must be the id of a picture among this profile's assets"}
    code = f"/v1/links/{link['id']}/qr?logo={strangers}"
    (await console.call("GET", code, key="two")).problem(404)


async def test_an_address_that_is_too_long_has_a_code_without_a_logo_only() -> None:
    console = Console()
    profile = await console.profile()
    logo = await asset_of(console, profile["id"])
    link = await console.link(profile["id"], "\U00020000" * 150)
    code = f"/v1/links/{link['id']}/qr"
    assert (await console.call("GET", code)).status == 200
    errors = (await console.call("GET", f"{code}?logo={logo}")).problem(422)
    assert errors.keys() == {"logo"}


async def asset_of(console: Console, profile_id: str, caller: Caller = ONE) -> int:
    """Return the id of a new asset with the renditions of PICTURE."""
    files = {f"{width}.webp": PICTURE for width in (320, 640)}
    renditions = tuple(
        Rendition(width=width, height=width, format="webp", bytes=len(PICTURE))
        for width in (320, 640)
    )
    draft = AssetDraft("0" * 32, "logo", StoredPicture("png", 640, 640, renditions))
    await console.assets.begin(caller, int(profile_id), draft)
    await console.asset_files.write(draft.hash, files)
    return (await console.assets.create(caller, int(profile_id), draft)).id
