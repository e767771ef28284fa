"""The demo, filled over the API of a running engine as any program would: page, experiments, visitors."""

import logging
import random
from datetime import UTC, datetime
from typing import Any, Final

import httpx
import trio

from api.processes.demo import content, pictures
from api.processes.demo.profile import HANDLE
from api.processes.demo.visitors import visitor
from api.processes.process import notice
from engine.operations.settings import Settings

VISITORS: Final = 320
_TIMEOUT_S: Final = 60.0
_GAP_S: Final = 0.01  # between visitors, so that they are a stream and no storm
_GARDENS: Final = {"morning": pictures.MORNING, "sunrise": pictures.SUNRISE, "dusk": pictures.DUSK}


async def fill(settings: Settings, console_url: str, visitors_url: str, api_key: str) -> None:
    """Fill the demo's profile at `console_url` and `visitors_url`, this machine's own: the addresses of
    `settings` may lead elsewhere. A failure is said, and leaves the engine running."""
    headers = {"Authorization": f"Bearer {api_key}"}
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells of each request
    try:
        async with httpx.AsyncClient(
            base_url=console_url, headers=headers, timeout=_TIMEOUT_S
        ) as console:
            await _fill(console)
        notice(f"the demo's page is published: {settings.visitors_url}/@{HANDLE}")
        await _visit(visitors_url, f"{settings.visitors_url}/@{HANDLE}")
        notice(f"{VISITORS} visitors came; the dashboard is at {settings.console_url}")
    except httpx.HTTPError as error:
        notice(f"the demo could not be filled: {type(error).__name__} {error}")


async def _fill(console: httpx.AsyncClient) -> None:
    profiles = (await _sent(console, "GET", "/v1/profiles?limit=100"))["items"]
    (profile,) = (each for each in profiles if each["handle"] == HANDLE)
    of_profile = f"/v1/profiles/{profile['id']}"
    links = {
        link["slug"]: link["id"]
        for link in (await _sent(console, "GET", f"{of_profile}/links?limit=100"))["items"]
    }
    planner = await _sent(console, "POST", f"{of_profile}/links", content.PLANNER)
    links[planner["slug"]] = planner["id"]
    drawn = {"face": await trio.to_thread.run_sync(pictures.face)}
    for seed, (name, sky) in enumerate(_GARDENS.items(), 1):
        drawn[name] = await trio.to_thread.run_sync(pictures.garden, seed, sky)
    assets = {}
    for name, png in drawn.items():
        response = await console.post(f"{of_profile}/assets?name={name}.png", content=png)
        assets[name] = response.raise_for_status().json()["id"]
    draft = content.page(links, assets, datetime.now(UTC))
    await _sent(console, "PUT", f"{of_profile}/page/draft", draft)
    await _sent(console, "POST", f"{of_profile}/page/publish")
    for body in content.experiments(links):
        experiment = await _sent(console, "POST", f"{of_profile}/experiments", body)
        await _sent(console, "POST", f"/v1/experiments/{experiment['id']}/start")


async def _sent(console: httpx.AsyncClient, method: str, path: str, body: Any = None) -> Any:
    response = await console.request(method, path, json=body)
    return response.raise_for_status().json()


async def _visit(visitors_url: str, page: str) -> None:
    """Send visitors to the page and on to its links, each with an agent of their own. `page`: its address."""
    dice = random.Random(11)  # noqa: S311  # the same demo each time
    slugs = {"spring": 9, "shop": 6, "video": 5, "newsletter": 4}
    async with httpx.AsyncClient(base_url=visitors_url, timeout=_TIMEOUT_S) as door:
        for _ in range(VISITORS):
            who = visitor(dice)
            headers = {
                "User-Agent": f"{who.user_agent} v{dice.randrange(1 << 30)}",
                "Accept-Language": who.language or "en",
            }
            await door.get(f"/@{HANDLE}", headers=headers | {"Referer": who.referrer})
            if dice.random() < 0.8:
                (slug,) = dice.choices(list(slugs), list(slugs.values()))
                await door.get(f"/{HANDLE}/{slug}", headers=headers | {"Referer": page})
            await trio.sleep(_GAP_S)
