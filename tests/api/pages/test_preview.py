"""Previews of drafts: the document that visitors would get, framed by the console and by nobody else."""

from tests.api.pages.test_drafts import page_path
from tests.kit.consoles import VISITORS, Console


async def test_a_preview_is_the_draft_in_a_sandbox() -> None:
    console = Console()
    path = await page_path(console)
    blocks = [{"kind": "heading", "text": "<Work>"}, {"kind": "qr"}]
    await console.call("PUT", f"{path}/draft", {"name": "Ada", "blocks": blocks})
    preview = await console.call("GET", f"{path}/preview")
    assert preview.status == 200
    assert preview.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = preview.headers["Content-Security-Policy"]
    assert "frame-ancestors 'self'" in policy
    assert policy.endswith("; sandbox")
    assert f"img-src 'self' {VISITORS};" in policy
    text = preview.body.decode()
    assert "&lt;Work&gt;" in text
    assert "noindex" in text
    (await console.call("GET", f"{path}/preview", key="two")).problem(404)
    (await console.call("GET", f"{path}/preview?x=1")).problem(422)


async def test_pictures_of_a_preview_are_at_the_visitors_server() -> None:
    console = Console()
    for path in (f"/a/{1:032x}-320.avif", "/@ada/qr"):
        led = await console.call("GET", path, key="")
        assert (led.status, led.headers["Location"]) == (307, VISITORS + path)
    for path in ("/a/x", "/a/..%2fv1", f"/a/{1:032x}-320.exe"):
        (await console.call("GET", path, key="")).problem(404)
