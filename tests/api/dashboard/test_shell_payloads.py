"""What somebody stored in a text is shown as that text: no payload runs, in any place of these screens."""

import pytest

from tests.kit.dashboards import Dashboard, Screen

pytestmark = pytest.mark.slow

PAYLOADS = [
    "<img src=x onerror=window.ran=1>",
    "<script>window.ran=1</script>",
    '"><svg onload=window.ran=1>',
    "javascript:window.ran=1",
    "{{constructor.constructor('window.ran=1')()}}",
    "${window.ran=1}",
    "'-window.ran=1-'",
    "</title><script>window.ran=1</script>",
    "<iframe srcdoc='<script>parent.ran=1</script>'>",
    "<a href=javascript:window.ran=1>x</a>",
    "--><img src=x onerror=window.ran=1>",
    "&lt;script&gt;window.ran=1",
]


def test_no_stored_text_runs(dashboard: Dashboard) -> None:
    """Titles of profiles and links, names of members, campaigns and filters of the URL."""
    with dashboard.engine.api() as client:
        handle = "hostile"
        draft = {"handle": handle, "title": PAYLOADS[0]}
        profile_id = client.post("/v1/profiles", json=draft).json()["id"]
        for i, payload in enumerate(PAYLOADS):
            link = {
                "slug": f"h{i}",
                "target": "https://example.com/",
                "title": payload,
                "notes": payload,
            }
            assert client.post(f"/v1/profiles/{profile_id}/links", json=link).status_code == 201
        events = [
            {"id": f"e{i}", "type": "click", "slug": f"h{i}", "address": f"8.8.8.{i}",
             "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
             "url": f"https://x.example/?utm_source={payload}&utm_campaign={payload}", "referrer": "https://t.co/"}
            for i, payload in enumerate(PAYLOADS)
        ]  # fmt: skip
        answered = client.post(f"/v1/profiles/{profile_id}/events", json={"events": events})
        assert answered.status_code == 200, answered.text
    dashboard.engine.wait_committed()

    def work(screen: Screen) -> None:
        page = screen.page
        for payload in PAYLOADS[:3]:
            page.goto(
                f"{screen.url}/p/{handle}?filter[source]={payload}&metric={payload}&tab={payload}&tz={payload}"
            )
            page.wait_for_selector("h1")
        screen.open(f"/p/{handle}?tab=utm_campaign")
        page.wait_for_selector(".bars .row")
        assert PAYLOADS[0] in page.inner_text("body")
        page.keyboard.press("Control+k")
        page.fill("dialog input", "<")
        page.wait_for_selector("[role=option]")
        page.keyboard.press("Escape")
        screen.open("/profiles")
        page.wait_for_selector(".profiles li")
        assert page.evaluate("window.ran === undefined")
        screen.assert_sound()

    dashboard.run(work)
