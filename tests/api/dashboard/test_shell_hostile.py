"""Two hundred hostile texts, stored through every field that takes a text: every screen shows them as texts.

`test_shell_payloads.py` is the short version, on the session's engine.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.kit.browser import BrowserThread
from tests.kit.dashboards import Dashboard, Screen
from tests.kit.engines import Engine
from tests.kit.hostile_texts import hostile_texts
from tests.kit.pictures import good
from tests.kit.screenshots import screens

pytestmark = [pytest.mark.thorough, pytest.mark.large, pytest.mark.timeout(900)]

_ALL: Final = list(hostile_texts())
PAYLOADS: Final = _ALL[:100] + _ALL[100::26][:100]
FIREFOX: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
MEMBERS: Final = 9
# Elements and attributes that no screen of ours makes: only a text that became markup could.
FOREIGN_MARKUP: Final = """() => [...document.querySelectorAll('*')].filter(element =>
    element.matches('embed, object, base, math, marquee, foreignObject, template, plaintext, meta[http-equiv], '
        + 'iframe[srcdoc], body script, svg script, a[href^="javascript:" i], a[href^="data:" i], [style]')
    || (element.matches('iframe') && !element.closest('.stage'))
    || element.getAttributeNames().some(name => name.startsWith('on'))
).map(element => element.outerHTML.slice(0, 120))"""


# The element that ends furthest to the right.
WIDEST: Final = """() => [...document.querySelectorAll('main *')]
    .sort((a, b) => b.getBoundingClientRect().right - a.getBoundingClientRect().right)[0]
    .outerHTML.slice(0, 160)"""


class Store:
    """Stores texts over the API, but for fields that a rule refuses. `stored` counts those kept, by field."""

    def __init__(self, client: httpx.Client, profile: dict[str, Any]) -> None:
        self._client = client
        self.profile = profile
        self.path = f"/v1/profiles/{profile['id']}"
        self.stored: dict[str, int] = {}

    def keep(self, method: str, path: str, body: dict[str, Any], hostile: dict[str, Any]) -> Any:
        """Send `body` with the fields of `hostile` that are not refused. Returns the answer or None."""
        left = dict(hostile)
        for _ in range(len(hostile) + 1):
            content = body | left
            try:
                answered = self._client.request(method, path, json=content)
            except UnicodeEncodeError:
                return None  # no client can send a lone surrogate
            if answered.status_code != 422:
                break
            refused = {
                each["field"].split(".")[0].split("[")[0] for each in answered.json()["errors"]
            }
            if not refused & left.keys():
                return None
            left = {name: value for name, value in left.items() if name not in refused}
        if answered.status_code >= 300 or (hostile and not left):
            return None
        for name in left:
            field = f"{path.rpartition('/')[2] or path}.{name}"
            self.stored[field] = self.stored.get(field, 0) + 1
        return answered.json() if answered.content else None

    def links(self) -> None:
        for i, text in enumerate(PAYLOADS):
            body = {"slug": f"h{i}", "target": f"https://example.com/{i}"}
            utm = {"source": text, "campaign": text}
            hostile = {"title": text, "notes": text, "tags": [text], "folder": text,
                       "external_id": text, "utm": utm}  # fmt: skip
            self.keep("POST", f"{self.path}/links", body, hostile)

    def page(self) -> None:
        """Try each text in each kind of block, and leave a page of those that were kept."""
        path, kept = f"{self.path}/page/draft", []
        for number, text in enumerate(PAYLOADS[::10]):
            blocks: list[dict[str, Any]] = [
                {"kind": "heading", "text": text},
                {"kind": "text", "text": text},
                {"kind": "faq", "questions": [{"question": text, "answer": text}]},
                {"kind": "contact", "name": text, "email": "ada@example.com"},
                {"kind": "email_form", "title": text, "line": text, "button": text},
            ]
            for block in blocks:
                block["id"] = f"{block['kind']}{number}"
                if self.keep("PUT", path, {"name": "x"}, {"blocks": [block]}) is not None:
                    self.stored[f"page.{block['kind']}"] = 1
                    kept.append(block)
            self.keep("PUT", path, {"blocks": kept[-20:]}, {"name": text, "bio": text})
        self._client.post(f"{self.path}/page/publish")

    def people(self) -> None:
        kept = 0
        for text in PAYLOADS:
            if kept == MEMBERS:
                break
            body = {"email": f"p{kept}@example.com", "role": "editor"}
            invited = self._client.post(f"{self.path}/invitations", json=body).json()
            with httpx.Client(base_url=self._client.base_url, timeout=30) as guest:
                joined = Store(guest, self.profile).keep(
                    "POST", "/v1/invitations/accept",
                    {"token": invited["token"], "password": "a long sentence is best"}, {"name": text},
                )  # fmt: skip
            if joined is None:
                self._client.delete(f"{self.path}/invitations/{invited['id']}")
            else:
                kept += 1
        self.stored["members.name"] = kept

    def small_things(self) -> None:
        for i, text in enumerate(PAYLOADS):
            at = f"2026-11-{1 + i % 28:02}"
            self.keep("POST", f"{self.path}/annotations", {"at": at}, {"text": text})
            self.keep(
                "POST", f"{self.path}/saved-questions", {"query": "period=7d"}, {"name": text}
            )
            self.keep("POST", f"{self.path}/goals", {"event": "signup"}, {"name": text})
            self.keep("POST", f"{self.path}/shares", {"metrics": ["clicks"]}, {"label": text})
            self.keep("POST", "/v1/keys", {"scopes": ["read"]}, {"label": text})
            hook = {"url": "https://example.com/hook", "event_types": ["link.created"]}
            self.keep("POST", f"{self.path}/webhooks", hook, {"description": text})
            self.keep("POST", f"{self.path}/webhooks", hook | {"description": ""},
                      {"url": f"https://example.com/{text}"})  # fmt: skip
            self.keep("POST", f"{self.path}/domains", {}, {"host": text})
            self.picture(text)

    def picture(self, text: str) -> None:
        try:
            answered = self._client.post(
                f"{self.path}/assets", params={"name": text}, content=good("PNG"),
                headers={"Content-Type": "image/png"},
            )  # fmt: skip
        except UnicodeEncodeError:
            return
        if answered.status_code < 300:
            self.stored["assets.name"] = self.stored.get("assets.name", 0) + 1

    def experiments(self) -> None:
        link = self._client.get(f"{self.path}/links?limit=1").json()["items"][0]["id"]
        for text in PAYLOADS[:40]:
            variants = [
                {"name": text, "weight": 1, "title": text}, {"name": "b", "weight": 1, "title": "b"},
            ]  # fmt: skip
            body = {"kind": "page", "link_id": link, "name": "x",
                    "variants": [{"name": n, "weight": 1, "title": n} for n in "ab"]}  # fmt: skip
            self.keep(
                "POST", f"{self.path}/experiments", body, {"name": text, "variants": variants}
            )

    def events(self) -> None:
        for i, text in enumerate(PAYLOADS):
            click = {
                "id": f"e{i}", "type": "click", "slug": f"h{i % 20}", "address": f"8.8.8.{i % 250}",
                "user_agent": FIREFOX if i % 2 else f"{FIREFOX} {text}",
                "url": f"https://x.example/?utm_source={text}&utm_medium={text}&utm_campaign={text}&utm_term={text}",
                "referrer": f"https://t.co/{text}" if i % 2 else f"https://{text}/",
            }  # fmt: skip
            own = {"id": f"o{i}", "type": "event", "event": text, "address": f"8.8.4.{i % 250}",
                   "user_agent": FIREFOX, "properties": {"plan": text}}  # fmt: skip
            for event in (click, own):
                self.keep("POST", f"{self.path}/events", {}, {"events": [event]})


@pytest.fixture(scope="module")
def filled(
    tmp_path_factory: pytest.TempPathFactory, chromium: BrowserThread
) -> Iterator[tuple[Dashboard, Store]]:
    """An engine with all texts in one profile, `hostile`."""
    folder: Path = tmp_path_factory.mktemp("hostile")
    engine = Engine(folder / "data", "--edges", "1", WAYPOST_CHECK_LINKS="off")
    try:
        with engine.api() as client:
            client.timeout = httpx.Timeout(30)
            profile = client.post("/v1/profiles", json={"handle": "hostile"}).json()
            store = Store(client, profile)
            for text in PAYLOADS:
                store.keep("PATCH", store.path, {}, {"title": text})
            for fill in (
                store.links,
                store.page,
                store.people,
                store.small_things,
                store.experiments,
                store.events,
            ):
                fill()
            store.keep("PATCH", "/v1/user", {}, {"name": PAYLOADS[1]})
            store.keep("PATCH", store.path, {}, {"title": PAYLOADS[0]})
        engine.wait_committed()
        yield Dashboard(engine, chromium), store
    finally:
        engine.kill()


def test_every_field_has_kept_some(filled: tuple[Dashboard, Store]) -> None:
    """Else the test below would show nothing."""
    _, store = filled
    wanted = {
        "links.title", "links.notes", "links.tags", "links.folder", "annotations.text", "saved-questions.name",
        "goals.name", "shares.label", "keys.label", "webhooks.description", "webhooks.url", "experiments.name",
        "experiments.variants", "events.events", "draft.name", "draft.bio", "page.heading", "page.text",
        "page.faq", "members.name", "assets.name",
    }  # fmt: skip
    assert wanted - store.stored.keys() == set()
    assert store.stored["links.title"] >= 150


def test_no_text_runs_or_becomes_an_element_on_any_screen(filled: tuple[Dashboard, Store]) -> None:
    dashboard, store = filled
    with dashboard.engine.api() as client:
        link = client.get(f"{store.path}/links?limit=1").json()["items"][0]["id"]
        experiment = client.get(f"{store.path}/experiments?limit=1").json()["items"][0]["id"]
        hook = client.get(f"{store.path}/webhooks?limit=1").json()["items"][0]["id"]
    place = "/p/hostile"
    paths = [path.replace("/p/demo", place) for _, path in screens()]
    paths += [
        f"{place}/links/{link}",
        f"{place}/experiments/{experiment}",
        f"{place}/webhooks/{hook}",
    ]
    paths += [f"{place}?tab={tab}" for tab in ("referrer", "utm_campaign")]
    paths += [f"{place}/page?tab={tab}" for tab in ("header", "theme", "sharing")]
    paths += [
        f"{place}/analytics?values={name}"
        for name in ("utm_source", "utm_term", "referrer", "event")
    ]
    paths += [f"{place}?filter[source]={text}&metric={text}&tz={text}" for text in PAYLOADS[:5]]

    def work(screen: Screen) -> dict[str, Any]:
        faults: dict[str, Any] = {}
        for path in dict.fromkeys(paths):
            screen.page.goto(screen.url + path)
            screen.page.wait_for_selector("h1")
            screen.page.wait_for_load_state("load")
            screen.page.wait_for_timeout(1_200)  # what a screen asks for has come and is drawn
            screen.open_details(10)
            if shown := strange(screen, dashboard.engine.visitors):
                faults[path] = shown
        screen.open(place)
        screen.page.keyboard.press("Control+k")
        screen.page.fill("dialog input", "<")
        screen.page.wait_for_selector("[role=option]")
        if shown := strange(screen, dashboard.engine.visitors):
            faults["palette"] = shown
        return faults

    assert dashboard.run(work, timeout_s=800) == {}


def strange(screen: Screen, visitors: str) -> list[str]:
    """Return what is not right on the screen: a script that ran, an element or a word that is not ours."""
    # The page editor shows pictures as visitors get them.
    faults = [fault for fault in screen.faults if not fault.startswith(f"outside: {visitors}/a/")]
    screen.faults.clear()
    if screen.page.evaluate("() => 'hacked' in window"):
        faults.append("a text has run")
    faults += screen.page.evaluate(FOREIGN_MARKUP)
    faults += screen.foreign_words()
    for width, beyond in screen.overflows().items():
        screen.page.set_viewport_size({"width": width, "height": 800})
        faults.append(f"{beyond} too wide at {width}: {screen.page.evaluate(WIDEST)}")
        screen.page.set_viewport_size({"width": 1280, "height": 800})
    return faults
