"""Referrers and sources: the host that a click came from, and the known service that it belongs to.

The referrer names the source first, as the browser sends it itself; then the app that the browser is inside
of, as many apps send no referrer; then `utm_source`, which the author of the URL chose.
"""

from collections.abc import Mapping
from typing import Final

MAX_HOST: Final = 253  # of a name in the DNS (RFC 1035), without the final dot

# A host is a source's when it, or what stands behind one of its dots, is listed here.
_HOSTS: Final[Mapping[str, str]] = {
    "instagram.com": "Instagram", "ig.me": "Instagram",
    "tiktok.com": "TikTok", "tiktokv.com": "TikTok",
    "facebook.com": "Facebook", "fb.com": "Facebook", "fb.me": "Facebook",
    "messenger.com": "Messenger", "m.me": "Messenger",
    "threads.net": "Threads", "threads.com": "Threads",
    "t.co": "X", "x.com": "X", "twitter.com": "X", "com.twitter.android": "X",
    "linkedin.com": "LinkedIn", "lnkd.in": "LinkedIn", "com.linkedin.android": "LinkedIn",
    "youtube.com": "YouTube", "youtu.be": "YouTube",
    "whatsapp.com": "WhatsApp", "wa.me": "WhatsApp", "com.whatsapp": "WhatsApp",
    "telegram.org": "Telegram", "t.me": "Telegram", "telegram.me": "Telegram",
    "org.telegram.messenger": "Telegram",
    "pinterest.com": "Pinterest", "pin.it": "Pinterest",
    "snapchat.com": "Snapchat", "reddit.com": "Reddit", "redd.it": "Reddit",
    "com.reddit.frontpage": "Reddit",
    "discord.com": "Discord", "discordapp.com": "Discord", "twitch.tv": "Twitch",
    "bsky.app": "Bluesky", "go.bsky.app": "Bluesky", "mastodon.social": "Mastodon",
    "github.com": "GitHub", "medium.com": "Medium", "substack.com": "Substack",
    "quora.com": "Quora", "tumblr.com": "Tumblr", "news.ycombinator.com": "Hacker News",
    "producthunt.com": "Product Hunt", "spotify.com": "Spotify", "soundcloud.com": "SoundCloud",
    "linktr.ee": "Linktree", "patreon.com": "Patreon", "vk.com": "VK", "ok.ru": "OK",
    "weibo.com": "Weibo", "weibo.cn": "Weibo", "weixin.qq.com": "WeChat", "zhihu.com": "Zhihu",
    "xiaohongshu.com": "Xiaohongshu", "line.me": "LINE", "kakao.com": "KakaoTalk", "naver.com": "Naver",
    "slack.com": "Slack", "notion.so": "Notion",
    "mail.google.com": "Gmail", "com.google.android.gm": "Gmail",
    "outlook.live.com": "Outlook", "outlook.office.com": "Outlook", "mail.yahoo.com": "Yahoo Mail",
    "com.google.android.googlequicksearchbox": "Google",
    "bing.com": "Bing", "duckduckgo.com": "DuckDuckGo", "ecosia.org": "Ecosia", "qwant.com": "Qwant",
    "search.brave.com": "Brave Search", "startpage.com": "Startpage", "yandex.ru": "Yandex",
    "ya.ru": "Yandex", "yandex.com": "Yandex", "baidu.com": "Baidu", "search.yahoo.com": "Yahoo",
    "chatgpt.com": "ChatGPT", "chat.openai.com": "ChatGPT", "perplexity.ai": "Perplexity",
    "gemini.google.com": "Gemini", "claude.ai": "Claude", "copilot.microsoft.com": "Copilot",
}  # fmt: skip
# These have a domain in many countries: google.co.uk, pinterest.de. A name before another suffix belongs to
# another owner (google.example.com) and must not pass.
_COUNTRIES: Final[Mapping[str, str]] = {
    "google": "Google", "pinterest": "Pinterest", "yandex": "Yandex",
}  # fmt: skip
_SECOND_LEVEL: Final = frozenset({"com", "co", "org", "net"})
_SOURCES: Final[Mapping[str, str]] = {
    **{name.lower().replace(" ", ""): name for name in (*_HOSTS.values(), *_COUNTRIES.values())},
    "ig": "Instagram", "insta": "Instagram", "fb": "Facebook", "meta": "Facebook", "twitter": "X",
    "yt": "YouTube", "wa": "WhatsApp", "tt": "TikTok", "li": "LinkedIn",
}  # fmt: skip


def referrer_host(referrer: str) -> str:
    """Return the referrer's host in lower case without `www.`, or an app's package (`android-app://`); ''
    without a valid host."""
    scheme, found, rest = referrer.partition("://")
    if not found or scheme.lower() not in ("http", "https", "android-app"):
        return ""
    authority = rest
    for end in "/?#\\":
        authority = authority.partition(end)[0]
    name = authority.rpartition("@")[2]
    name = name.partition("]")[0] + "]" if name.startswith("[") else name.partition(":")[0]
    name = name.lower().rstrip(".").removeprefix("www.")
    if not name or len(name) > MAX_HOST or not name.isprintable() or " " in name:
        return ""
    return name


def source_of_host(host: str) -> str:
    """Return the known source that a referrer's host belongs to, or ''."""
    labels = host.split(".")
    for start in range(max(0, len(labels) - 4), len(labels)):
        if name := _HOSTS.get(".".join(labels[start:])):
            return name
    return _of_a_country(labels)


def _of_a_country(labels: list[str]) -> str:
    """Return the source of a national domain, such as google.de or www.google.co.uk."""
    if len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL:
        return _COUNTRIES.get(labels[-3], "")
    if len(labels) >= 2 and (len(labels[-1]) == 2 or labels[-1] == "com"):
        return _COUNTRIES.get(labels[-2], "")
    return ""


def source_of_utm(utm_source: str) -> str:
    """Return the known source that a `utm_source` names (`ig`, `facebook`, `tiktok.com`), or ''."""
    text = utm_source.strip().lower()
    return _SOURCES.get(text.replace(" ", "")) or (source_of_host(text) if "." in text else "")
