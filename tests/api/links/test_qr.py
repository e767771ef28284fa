"""`GET /v1/links/{id}/qr` and `GET /v1/profiles/{id}/qr`."""

from engine.links.domain import TxtAnswer, look_result
from engine.links.qr import QrLook, qr_image
from tests.kit.consoles import VISITORS, Console


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
    bad = await console.call("GET", f"/v1/profiles/{profile['id']}/qr?dark=fff000&size=7&logo=x")
    assert bad.problem(422).keys() == {"size", "logo"}
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
