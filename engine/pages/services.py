"""Services of the social row: their names, and the hosts that tell of which service a URL is."""

from typing import Final, NamedTuple

import ada_url


class Service(NamedTuple):
    """A service that has an icon. `hosts` are its domains; a subdomain of one belongs to it."""

    label: str
    hosts: tuple[str, ...] = ()


WEBSITE: Final = "website"

SERVICES: Final[dict[str, Service]] = {
    "website": Service("Website"),
    "email": Service("E-mail"),
    "phone": Service("Phone"),
    "rss": Service("RSS"),
    "bandcamp": Service("Bandcamp", ("bandcamp.com",)),
    "behance": Service("Behance", ("behance.net",)),
    "bluesky": Service("Bluesky", ("bsky.app",)),
    "codeberg": Service("Codeberg", ("codeberg.org",)),
    "devdotto": Service("DEV", ("dev.to",)),
    "discord": Service("Discord", ("discord.gg", "discord.com")),
    "dribbble": Service("Dribbble", ("dribbble.com",)),
    "etsy": Service("Etsy", ("etsy.com",)),
    "facebook": Service("Facebook", ("facebook.com", "fb.com")),
    "github": Service("GitHub", ("github.com",)),
    "gitlab": Service("GitLab", ("gitlab.com",)),
    "goodreads": Service("Goodreads", ("goodreads.com",)),
    "instagram": Service("Instagram", ("instagram.com",)),
    "kofi": Service("Ko-fi", ("ko-fi.com",)),
    "letterboxd": Service("Letterboxd", ("letterboxd.com",)),
    "liberapay": Service("Liberapay", ("liberapay.com",)),
    "line": Service("LINE", ("line.me",)),
    "linkedin": Service("LinkedIn", ("linkedin.com", "lnkd.in")),
    "mastodon": Service("Mastodon", ("mastodon.social", "mastodon.online", "mas.to", "fosstodon.org")),
    "matrix": Service("Matrix", ("matrix.to",)),
    "medium": Service("Medium", ("medium.com",)),
    "patreon": Service("Patreon", ("patreon.com",)),
    "peertube": Service("PeerTube"),
    "pinterest": Service("Pinterest", ("pinterest.com", "pin.it")),
    "pixelfed": Service("Pixelfed", ("pixelfed.social",)),
    "reddit": Service("Reddit", ("reddit.com",)),
    "signal": Service("Signal", ("signal.me", "signal.group")),
    "snapchat": Service("Snapchat", ("snapchat.com",)),
    "soundcloud": Service("SoundCloud", ("soundcloud.com",)),
    "spotify": Service("Spotify", ("spotify.com",)),
    "stackoverflow": Service("Stack Overflow", ("stackoverflow.com",)),
    "strava": Service("Strava", ("strava.com",)),
    "substack": Service("Substack", ("substack.com",)),
    "telegram": Service("Telegram", ("t.me", "telegram.me")),
    "threads": Service("Threads", ("threads.net", "threads.com")),
    "tiktok": Service("TikTok", ("tiktok.com",)),
    "tumblr": Service("Tumblr", ("tumblr.com",)),
    "twitch": Service("Twitch", ("twitch.tv",)),
    "vimeo": Service("Vimeo", ("vimeo.com",)),
    "wechat": Service("WeChat", ("weixin.qq.com",)),
    "whatsapp": Service("WhatsApp", ("wa.me", "whatsapp.com")),
    "x": Service("X", ("x.com", "twitter.com")),
    "youtube": Service("YouTube", ("youtube.com", "youtu.be")),
}  # fmt: skip

_BY_HOST: Final = {host: name for name, service in SERVICES.items() for host in service.hosts}


def service_of(url: str) -> str:
    """Return the name of the service that a normalised URL belongs to; `website` if it is none of them."""
    scheme = url.partition(":")[0]
    if scheme in ("mailto", "tel"):
        return "email" if scheme == "mailto" else "phone"
    try:
        host = ada_url.URL(url).hostname
    except ValueError:
        return WEBSITE
    labels = host.split(".")
    parents = (".".join(labels[n:]) for n in range(len(labels)))
    return next((_BY_HOST[parent] for parent in parents if parent in _BY_HOST), WEBSITE)
