"""Made-up requests of visitors to the links of one edge, and an edge with links of every kind for them."""

from random import Random
from typing import Final

from engine.experiments.experiment import ExperimentDraft, Variant, validate_draft
from engine.links.link import LinkDraft
from storage.experiments.memory_experiments import MemoryExperimentStore
from tests.kit.delayed_profiles import TENANT
from tests.kit.visitor_servers import ServedEdge

_AGENTS: Final = (
    b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
    b"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    b"Version/18.5 Mobile/15E148 Safari/604.1",
    b"Googlebot/2.1 (+http://www.google.com/bot.html)", b"curl/8.9", b"", b"  x  ", b"a" * 300,
    b"M\xc3\xbcller/1.0", b"WhatsApp/2.23.20.0",
)  # fmt: skip
_PATHS: Final = (
    b"/shop/plain", b"/plain", b"/shop/other", b"/shop/%70lain", b"/SHOP/plain", b"/shop/plain/", b"/shop/pass",
    b"/shop/paused", b"/shop/moved", b"/shop/tested", b"/shop/id", b"/shop/secret", b"/@shop", b"/shop", b"/",
    b"/nowhere", b"/shop/plain.png", b"/shop/plain/qr", b"/robots.txt", b"/shop/plain#x", b"/@shop/qr",
)  # fmt: skip
_QUERIES: Final = (
    b"", b"", b"", b"", b"?", b"?a=b", b"?fbclid=IwAR0_x", b"?utm_source=x", b"?UTM_Source=y&b=1",
    b"?uTm_term=%41%42", b"?wp_t=page", b"?wp_t=qr&x=1", b"?wp_variant=1-1-1-aaaaaaaaaaaaaaaaaaaaaa", b"?a?b",
    b"?utm_campaign=" + b"%41" * 100, b"?xwp_t=page", b"?a=\xc3\xa9", b"?p[]=1", b"?utm", b"?_",
)  # fmt: skip
_REFERRERS: Final = (
    b"https://t.co/", b"https://www.instagram.com/", b"http://links.example/@shop",
    b"https://links.example/@shop?utm_source=bio", b"https://links.example/", b"https://r.example/@other",
    b"http://links.example/@SHOP", b"https://a.example/" + b"p" * 300, b"", b"no url",
)  # fmt: skip
_HOSTS: Final = (b"links.example",) * 8 + (
    b"LINKS.example:80", b"ada.example", b"other.example", b"h" * 97, b"links.example.", b"bad host",
)  # fmt: skip
_FIELDS: Final = (
    b"Accept: */*", b"Accept-Language: de-DE,de;q=0.9", b"accept-language: " + b"x" * 80, b"Cookie: a=b",
    b"Cookie: wp_v=abcdefghijklmnopqrstuv", b"Connection: keep-alive", b"connection: Keep-Alive",
    b"Connection: close", b"Connection: upgrade", b"Upgrade: h2c", b"Purpose: prefetch", b"X-Moz: prefetch",
    b"Sec-Purpose: prefetch", b"X-Forwarded-For: 203.0.113.9", b"X-Forwarded-For: 8.8.8.8, 203.0.113.10",
    b"X-Forwarded-For: 2001:db8::1", b'Sec-CH-UA: "Brave";v="131"', b'sec-ch-ua: "Chromium";v="138"',
    b'Sec-CH-UA-Platform: "Android"', b"sec-ch-ua-mobile: ?1", b'SEC-CH-UA-platform: "Linux"',
    b"Content-Length: 0", b"Content-Length: 3", b"Expect: 100-continue",
    b"X: \xff", b"X:\tb", b"Accept-Encoding: gzip, br", b"If-None-Match: \"x\"", b"bad", b"Host: twice",
)  # fmt: skip
_METHODS: Final = (b"GET",) * 20 + (b"HEAD", b"HEAD", b"POST", b"get")
_VERSIONS: Final = (b"HTTP/1.1",) * 20 + (b"HTTP/1.0", b"HTTP/2.0")


def requests(random: Random) -> bytes:
    """Return what one connection's client sends: mostly one request, mostly a plain one."""
    count = random.choice((1, 1, 1, 1, 2, 3))
    data = b"".join([_request(random) for _ in range(count)])
    if random.random() < 0.05:
        place = random.randrange(len(data))
        data = (
            data[:place] + random.choice((b"", b"\r\n", b"\x00", b" ", b"\n")) + data[place + 1 :]
        )
    return data


def _request(random: Random) -> bytes:
    plain = random.random() < 0.5
    path = random.choice((*_PATHS[:3], b"/shop/tested")) if plain else random.choice(_PATHS)
    query = random.choice(_QUERIES[:7]) if plain else random.choice(_QUERIES)
    lines = [
        b"%b %b%b %b" % (random.choice(_METHODS), path, query, random.choice(_VERSIONS)),
        b"Host: " + random.choice(_HOSTS),
    ]
    if random.random() < 0.8:
        name = random.choice((b"User-Agent", b"user-agent"))
        lines.append(b"%b: %b" % (name, random.choice(_AGENTS)))
    if random.random() < 0.5:
        lines.append(b"Referer: " + random.choice(_REFERRERS))
    lines += random.sample(_FIELDS[:6] if plain else _FIELDS, k=random.randrange(4))
    random.shuffle(lines[1:])
    return b"\r\n".join(lines) + b"\r\n\r\n"


async def furnish(edge: ServedEdge) -> None:
    """Add the profile of these requests: links of every kind."""
    profiles = edge.profiles
    shop = await profiles.add_profile("shop", "plain", "other", "paused", "secret", title="Shop")
    await profiles.add_link(shop, "pass", "https://pass.example/?own=1", passthrough=True)
    await profiles.add_link(shop, "moved", status=301)
    await profiles.add_link(shop, "id", click_id=True)
    tested, _ = await profiles.add_link(shop, "tested")
    page = await profiles.list_links(TENANT, shop, 0, 100)
    by_slug = {link.slug: link for link in page.items}
    await profiles.update_link(
        TENANT,
        by_slug["paused"].id,
        LinkDraft(slug="paused", target="https://p.example/", paused=True),
    )
    await _experiment(edge, shop, tested.id)


async def _experiment(edge: ServedEdge, profile_id: int, link_id: int) -> None:
    variants = tuple(
        Variant(name=name, weight=0.5, target=f"https://{name}.example/") for name in "ab"
    )
    draft, errors = validate_draft(
        ExperimentDraft(name="x", kind="destination", variants=variants, link_id=link_id)
    )
    assert draft is not None, errors
    store = MemoryExperimentStore(edge.profiles)
    experiment, _ = await store.create_experiment(TENANT, profile_id, draft)
    await store.move_experiment(TENANT, experiment.id, "running")
