"""The whole way of an owner: from an empty engine to figures that are shared, on a phone and on a desktop."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kit.browser import BrowserThread
from tests.kit.dashboards import Dashboard, Screen, watched
from tests.kit.engines import Engine, eventually
from tests.kit.github_server import serving_in_thread
from tests.kit.pictures import good

pytestmark = [pytest.mark.thorough, pytest.mark.large, pytest.mark.timeout(600)]

TOKEN = "github_pat_secret"
PASSWORD = "a long sentence is best"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
LIVE_S = 2.0
# A picture, and a repository with its stars.
PUBLISHED = ("/a/", "trio / trio", "★ 7")
KEPT = ".asof:has-text('Draft kept')"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An empty engine whose GitHub is on the loopback."""
    with serving_in_thread(TOKEN) as hub:
        hub.add("trio/trio", stars=7, release="v1")
        engine = Engine(
            tmp_path / "data", "--edges", "1",
            WAYPOST_GITHUB_URL=hub.url, WAYPOST_GITHUB_TOKEN=TOKEN, WAYPOST_CHECK_LINKS="off",
        )  # fmt: skip
        try:
            yield engine
        finally:
            engine.kill()


@pytest.mark.parametrize("width", [360, 1280])
def test_from_an_empty_engine_to_shared_figures(
    engine: Engine, chromium: BrowserThread, width: int
) -> None:
    def work(screen: Screen) -> None:
        journey = Journey(engine, screen)
        for step in (
            journey.set_up, journey.make_links, journey.build_the_page, journey.experiment,
            journey.watch_a_click, journey.invite, journey.verify, journey.export, journey.share,
            journey.look_at_all,
        ):  # fmt: skip
            step()

    size = {"width": width, "height": 800}
    Dashboard(engine, chromium).run(work, signed_in=False, timeout_s=500, viewport=size)


class Journey:
    """Steps of the owner in one browser, each by what the screens offer."""

    def __init__(self, engine: Engine, screen: Screen) -> None:
        self.engine = engine
        self.screen = screen
        self.page = screen.page

    def guest(self) -> Screen:
        """Return a screen of another person's browser."""
        context = self.page.context.browser.new_context()
        return watched(context.new_page(), self.screen.url)

    def click(self, path: str) -> None:
        answered = httpx.get(
            self.engine.visitors + path, headers={"User-Agent": FIREFOX}, timeout=10
        )
        assert answered.status_code in (200, 302)

    def links(self) -> list[dict[str, Any]]:
        request = self.page.context.request
        profiles = request.get(f"{self.screen.url}/v1/profiles?handle=ada").json()["items"]
        path = f"/v1/profiles/{profiles[0]['id']}/links"
        links: list[dict[str, Any]] = request.get(self.screen.url + path).json()["items"]
        return links

    def set_up(self) -> None:
        page = self.page
        code = re.search(r"/setup#(\S+)", self.engine.output())
        assert code is not None
        self.screen.open(f"/setup#{code[1]}")
        self.screen.assert_sound()
        page.fill("input[name=name]", "Ada Lovelace")
        page.fill("input[type=email]", "ada@example.com")
        page.fill("input[type=password]", PASSWORD)
        page.keyboard.press("Enter")
        page.fill("input[name=handle]", "ada")
        page.fill("input[name=title]", "Ada’s page")
        page.keyboard.press("Enter")
        page.fill("input[name=target]", "https://example.com/spring")
        page.fill("input[name=title]", "Spring")
        page.keyboard.press("Enter")
        page.wait_for_url("**/p/ada")
        page.wait_for_selector(".empty:has-text('No clicks yet')")
        self.screen.assert_sound()

    def make_links(self) -> None:
        page = self.page
        for target, title in (
            ("https://github.com/trio/trio", "Trio"),
            ("https://example.com/shop", "The shop"),
        ):
            self.screen.open("/p/ada/links?new=1")
            page.fill("dialog input[name=target]", target)
            page.fill("dialog input[name=title]", title)
            page.click("dialog button:has-text('Create')")
            page.wait_for_url(re.compile(r"/p/ada/links/\d+"))
            page.wait_for_selector("dialog #link-form")
        page.click("button:has-text('Add a rule')")
        page.fill("input[aria-label='Country in rule 1']", "DE, AT")
        page.fill("input[aria-label='Target of rule 1']", "https://example.de/shop")
        page.click("dialog button:has-text('Save')")
        page.wait_for_selector("dialog footer:has-text('version 2')")
        page.select_option("dialog select[name=country]", "DE")
        page.wait_for_selector("dialog .answer:has-text('Rule 1 fits')")
        self.screen.assert_sound()

    def build_the_page(self) -> None:
        page = self.page
        self.screen.open("/p/ada/page?tab=header")
        picture = {"name": "face.png", "mimeType": "image/png", "buffer": good("PNG")}
        page.set_input_files("input[type=file]", picture)
        page.wait_for_selector(".toast:has-text('Picture uploaded')")
        page.wait_for_selector(KEPT)
        page.click("[role=tab]:has-text('Blocks')")
        page.click("button:has-text('Add a block')")
        page.click("dialog button:has-text('Repository')")
        assert "Trio" in page.inner_text("select[name=link_id]")  # the only link to a repository
        page.wait_for_selector(KEPT)
        page.click("button:has-text('Publish')")
        page.wait_for_selector(".toast:has-text('Published')")
        # The preview shows the picture as visitors get it.
        seen = f"outside: {self.engine.visitors}/a/"
        self.screen.faults[:] = [each for each in self.screen.faults if not each.startswith(seen)]

        # The engine would ask GitHub by itself, within minutes.
        link = next(link for link in self.links() if link["title"] == "Trio")
        self.screen.open(f"/p/ada/links/{link['id']}")
        page.click("dialog button:has-text('Ask GitHub now')")
        page.wait_for_selector("dialog .part:has-text('GitHub'):has-text('★')")
        self.screen.assert_sound()

        def missing() -> list[str]:
            text = httpx.get(f"{self.engine.visitors}/@ada", timeout=10).text
            return [part for part in PUBLISHED if part not in text]

        try:
            eventually(lambda: not missing(), 60)
        except AssertionError:
            assert missing() == []
        self.screen.assert_sound()

    def experiment(self) -> None:
        page = self.page
        self.screen.open("/p/ada/experiments?new=1")
        page.fill("dialog input[name=name]", "Spring video")
        page.fill("dialog input[name='variants.1.target']", "https://example.com/video")
        page.click("dialog button:has-text('Create the draft')")
        page.click(".top button:has-text('Start')")
        page.click("dialog button:has-text('Start')")
        page.wait_for_selector(".tag:has-text('running, day 1')")
        self.screen.assert_sound()

    def watch_a_click(self) -> None:
        page = self.page
        slug = next(link["slug"] for link in self.links() if link["title"] == "Trio")
        path = f"/ada/{slug}"
        self.screen.open("/p/ada/live")
        page.wait_for_selector(".asof:has-text('Live')")
        clicked_at = time.monotonic()
        self.click(path)
        page.wait_for_selector(".feed li:has-text('Trio')", timeout=LIVE_S * 1000)
        assert time.monotonic() - clicked_at < LIVE_S
        self.screen.assert_sound()

    def invite(self) -> None:
        page = self.page
        self.screen.open("/p/ada/team")
        page.click("button:has-text('Invite')")
        page.fill("dialog input[name=email]", "grace@example.com")
        page.click("dialog button:has-text('Make the invitation')")
        url = page.inner_text("dialog .secret")
        page.click("dialog button:has-text('I have kept it')")
        guest = self.guest()
        guest.open(url.removeprefix(guest.url))
        guest.page.fill("input[name=name]", "Grace Hopper")
        guest.page.fill("input[type=password]", PASSWORD)
        guest.page.keyboard.press("Enter")
        guest.page.wait_for_url("**/p/ada")
        guest.page.wait_for_selector("a.kpi strong")
        guest.assert_sound()
        self.screen.open("/p/ada/team")
        page.wait_for_selector(".team li:has-text('Grace Hopper')")
        self.screen.assert_sound()

    def verify(self) -> None:
        page = self.page
        self.screen.open("/p/ada/activity")
        page.wait_for_selector(".log li:has-text('Grace Hopper')")
        page.click("button:has-text('Verify the chain')")
        page.wait_for_selector(".chain:has-text('entries are as they were written')")
        self.screen.assert_sound()

    def export(self) -> None:
        page = self.page
        self.engine.wait_committed()
        self.screen.open("/p/ada/analytics")
        page.click("button:has-text('Export')")
        with page.expect_download() as download:
            page.click("dialog .files li:first-child a:has-text('CSV')")
        lines = Path(download.value.path()).read_text().splitlines()
        assert len(lines) == 1 + 30
        assert re.search(r"[;,\t]1\b", lines[-1]), lines[-1]
        page.keyboard.press("Escape")
        self.screen.assert_sound()

    def share(self) -> None:
        page = self.page
        page.click("button:has-text('Share')")
        page.fill("dialog input[name=label]", "A client")
        page.click("dialog button:has-text('Make the link')")
        url = page.inner_text("dialog .secret")
        page.click("dialog button:has-text('I have kept it')")
        guest = self.guest()
        guest.open(url.removeprefix(guest.url))
        guest.page.wait_for_selector("button.kpi:has-text('Clicks') strong:has-text('1')")
        guest.assert_sound()

    def look_at_all(self) -> None:
        for path in ("", "/page", "/links", "/settings", "/domains", "/experiments"):
            self.screen.open(f"/p/ada{path}")
            self.page.wait_for_load_state("networkidle" if path else "load")
            seen = f"outside: {self.engine.visitors}/a/"
            self.screen.faults[:] = [f for f in self.screen.faults if not f.startswith(seen)]
            self.screen.assert_sound()
