"""`GET /v1/links/{id}/qr` and `GET /v1/profiles/{id}/qr`."""

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
