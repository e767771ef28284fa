"""Pictures: dropped, refused with a reason, shown with where they are, deleted."""

import base64
import io

import pytest
from PIL import Image

from tests.kit.dashboards import Dashboard, Screen

pytestmark = [pytest.mark.slow, pytest.mark.thorough]
DROP = """([selector, files]) => {
    const data = new DataTransfer();
    for (const [name, type, text] of files) {
        data.items.add(new File([Uint8Array.from(atob(text), sign => sign.charCodeAt(0))], name, {type}));
    }
    const place = document.querySelector(selector);
    const options = {dataTransfer: data, bubbles: true, cancelable: true};
    place.dispatchEvent(new DragEvent('dragenter', options));
    place.dispatchEvent(new DragEvent('drop', options));
}"""


def picture() -> str:
    file = io.BytesIO()
    Image.new("RGB", (480, 320), (20, 120, 90)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_pictures_are_dropped_shown_and_deleted(dashboard: Dashboard) -> None:
    with dashboard.engine.api() as client:
        client.post("/v1/profiles", json={"handle": "pictured"})

    def work(screen: Screen) -> list[str]:
        page = screen.page
        screen.open("/p/pictured/assets")
        page.wait_for_selector("text=No picture yet")
        files = [
            ["garden <b>.png", "image/png", picture()],
            ["no picture.png", "image/png", "AAAA"],
        ]
        page.evaluate(DROP, [".dropzone", files])
        page.wait_for_selector(".pictures a:has-text('garden <b>.png')")
        page.wait_for_selector(".uploads li.bad:has-text('no picture.png')")
        page.wait_for_selector(".room:has-text('in 1 picture')")
        shown = "img => img.decode().then(() => img.naturalWidth)"
        assert page.eval_on_selector(".pictures img", shown) == 320
        screen.assert_sound()
        faults = screen.axe_faults()
        page.emulate_media(color_scheme="dark")
        faults += screen.axe_faults()
        page.click("button[aria-label='Forget no picture.png']")
        page.click(".pictures a")
        page.wait_for_selector("dialog:has-text('no version of the page has it')")
        screen.assert_sound()
        page.click("dialog button:has-text('Delete')")
        page.click("dialog:last-of-type button[type=submit]")
        page.wait_for_selector("text=No picture yet")
        return faults

    assert dashboard.run(work) == []


def test_a_picture_of_the_page_stays(dashboard: Dashboard) -> None:
    with dashboard.engine.api() as client:
        profile = client.post("/v1/profiles", json={"handle": "kept-picture"}).json()
        path = f"/v1/profiles/{profile['id']}"
        upload = base64.b64decode(picture())
        asset = client.post(f"{path}/assets?name=kept.png", content=upload).json()
        blocks = [{"kind": "image", "picture": asset["id"], "alt": "Green"}]
        draft = client.put(f"{path}/page/draft", json={"blocks": blocks})
        assert draft.is_success, draft.text

    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/p/kept-picture/assets")
        page.click(".pictures li:has-text('on the page') a")
        page.wait_for_selector("dialog:has-text('the page’s draft')")
        assert page.locator("dialog button:has-text('Delete')").is_disabled()
        page.go_back()
        page.wait_for_selector("dialog", state="detached")
        assert page.url.endswith("/p/kept-picture/assets")

    dashboard.run(work)
