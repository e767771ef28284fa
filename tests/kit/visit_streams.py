"""Made-up requests of visitors to the links of one edge, and an edge with links of every kind for them."""

from random import Random
from typing import Final

from actors.visits.profile_page import moment_of
from engine.experiments.experiment import ExperimentDraft, Variant, validate_draft
from engine.links.link import LinkDraft
from engine.pages.blocks import TextBlock
from engine.pages.page import BlockChange, ProfilePage, Translation
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
    b"X-Forwarded-For: 2001:db8::1", b'Sec-CH-UA: "Brave";v="131"',
    b'Sec-CH-UA: ' + b'"Chromium";v="138", ' * 30 + b'"Brave";v="131"', b'sec-ch-ua: "Chromium";v="138"',
    b'Sec-CH-UA-Platform: "Android"', b"sec-ch-ua-mobile: ?1", b'SEC-CH-UA-platform: "Linux"',
    b"Content-Length: 0", b"Content-Length: 3", b"Expect: 100-continue",
    b"X: \xff", b"X:\tb", b"Accept-Encoding: gzip, br", b"If-None-Match: \"x\"", b"bad", b"Host: twice",
)  # fmt: skip
# Of pages and files, beside those above: what is negotiated.
_NEGOTIATED: Final = (
    b"Accept-Encoding: gzip, deflate, br, zstd", b"accept-encoding: gzip", b"Accept-Encoding: br;q=0, gzip",
    b"Accept-Encoding:", b"Accept-Encoding: br\r\nAccept-Encoding: gzip", b"If-None-Match: *",
    b'If-None-Match: "x", W/"y"', b'If-None-Match: "x"\r\nif-none-match: *', b"Range: bytes=0-9",
    b'Range: bytes=0-9\r\nIf-Range: "x"', b"Accept-Language: fr", b"Accept-Language: de-DE,de;q=0.9",
    b"Cookie: wp_v=abcdefghijklmnopqrstuv", b"Accept: */*",
)  # fmt: skip
ASSET: Final = "0123456789abcdef" * 2
ASSET_FILES: Final = {"640.avif": bytes(range(256)) * 20, "main.jpg": b"JPEG", "card.png": b""}
ASSET_TAG: Final = b'"%b-640.avif"' % ASSET.encode()
_VIEWED: Final = (b"/@shop",) * 8 + (
    b"/@lab", b"/@SHOP", b"/@nobody", b"/robots.txt", b"/favicon.ico", b"/waypost.js", b"/ROBOTS.txt",
    b"/.well-known/security.txt", b"/a/", b"/a/x", b"/a/%b-640.avif" % (b"e" * 32),
    *(b"/a/%b%b" % (ASSET.encode(), end) for end in (b"-640.avif", b"-640.avif", b"", b".png", b"/x")),
)  # fmt: skip
_METHODS: Final = (b"GET",) * 20 + (b"HEAD", b"HEAD", b"POST", b"get")
_VERSIONS: Final = (b"HTTP/1.1",) * 20 + (b"HTTP/1.0", b"HTTP/2.0")


def requests(random: Random, tags: tuple[bytes, ...] = ()) -> bytes:
    """Return what one connection's client sends: mostly one request, mostly a plain one. `tags` are entity tags
    that clients may know."""
    count = random.choice((1, 1, 1, 1, 2, 3))
    data = b"".join([_request(random, tags) for _ in range(count)])
    if random.random() < 0.05:
        place = random.randrange(len(data))
        data = (
            data[:place] + random.choice((b"", b"\r\n", b"\x00", b" ", b"\n")) + data[place + 1 :]
        )
    return data


def _request(random: Random, tags: tuple[bytes, ...]) -> bytes:
    if random.random() < 0.3:
        known = [b"If-None-Match: " + tag for tag in tags]
        fields = random.sample((*_NEGOTIATED, *known), k=random.randrange(4))
        return _with_head(random, random.choice(_VIEWED), random.choice(_QUERIES), fields)
    plain = random.random() < 0.5
    path = random.choice((*_PATHS[:3], b"/shop/tested")) if plain else random.choice(_PATHS)
    query = random.choice(_QUERIES[:7]) if plain else random.choice(_QUERIES)
    fields = random.sample(_FIELDS[:6] if plain else _FIELDS, k=random.randrange(4))
    return _with_head(random, path, query, fields)


def _with_head(random: Random, path: bytes, query: bytes, fields: list[bytes]) -> bytes:
    lines = [
        b"%b %b%b %b" % (random.choice(_METHODS), path, query, random.choice(_VERSIONS)),
        b"Host: " + random.choice(_HOSTS),
    ]
    if random.random() < 0.8:
        name = random.choice((b"User-Agent", b"user-agent"))
        lines.append(b"%b: %b" % (name, random.choice(_AGENTS)))
    if random.random() < 0.5:
        lines.append(b"Referer: " + random.choice(_REFERRERS))
    lines += fields
    return b"\r\n".join(lines) + b"\r\n\r\n"


async def furnish(edge: ServedEdge) -> None:
    """Add the profiles of these requests: one with links of every kind and a page in two languages, whose text
    goes away 50 ms later, and one with an experiment on its page."""
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
    experiments = MemoryExperimentStore(profiles)
    targets = tuple(
        Variant(name=name, weight=0.5, target=f"https://{name}.example/") for name in "ab"
    )
    await _experiment(experiments, shop, ExperimentDraft(
        name="x", kind="destination", variants=targets, link_id=tested.id
    ))  # fmt: skip
    until = moment_of(edge.wall_us + 50_000)
    blocks = (TextBlock(id="t", text="Hello " * 400, shown_until=until),)
    german = Translation(language="de", blocks=(BlockChange(block="t", text="Hallo"),))
    await edge.publish(shop, ProfilePage(blocks=blocks, translations=(german,)))
    lab = await profiles.add_profile("lab", "varied")
    varied = (await profiles.list_links(TENANT, lab, 0, 1)).items[0].id
    titles = tuple(Variant(name=name, weight=0.5, title=name) for name in "ab")
    await _experiment(experiments, lab, ExperimentDraft(
        name="y", kind="page", variants=titles, link_id=varied
    ))  # fmt: skip


async def _experiment(
    store: MemoryExperimentStore, profile_id: int, experiment: ExperimentDraft
) -> None:
    draft, errors = validate_draft(experiment)
    assert draft is not None, errors
    created, _ = await store.create_experiment(TENANT, profile_id, draft)
    await store.move_experiment(TENANT, created.id, "running")
