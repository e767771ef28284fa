"""Dimension values of clicks, parsed from their texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load.browsers import BROWSERS
from engine.clicks import dimension_values, language, referrer, utm
from engine.clicks.agents.device import DEVICES
from engine.clicks.dimension_values import Place
from engine.clicks.record_items import HOST, PLACE, TRIGGER, UTM, Trigger, item
from engine.clicks.user_agent import MAX_NAME, UserAgent, parse

_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
AGENTS = {
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} Chrome/126.0.0.0 Safari/537.36": (
        "Chrome", "Windows", "desktop", ""),
    f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {_WEBKIT} Chrome/126.0.0.0 Safari/537.36": (
        "Chrome", "Chrome OS", "desktop", ""),
    "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0": (
        "Firefox", "Linux", "desktop", ""),
    f"Mozilla/5.0 (Windows NT 6.1; Tablet PC 2.0) {_WEBKIT} Chrome/99.0.0.0 Safari/537.36": (
        "Chrome", "Windows", "desktop", ""),
    f"Mozilla/5.0 (Linux; Android 10; K) {_WEBKIT} Chrome/126.0.0.0 Mobile Safari/537.36": (
        "Chrome Mobile", "Android", "phone", ""),
    f"Mozilla/5.0 (Linux; Android 13; SM-X900) {_WEBKIT} Chrome/126.0.0.0 Safari/537.36": (
        "Chrome", "Android", "tablet", ""),
    "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 "
    "Mobile/15E148 Safari/604.1": ("Mobile Safari", "iOS", "tablet", ""),
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Mobile/15E148 Instagram 334.0.0.0": ("Instagram", "iOS", "phone", "Instagram"),
    f"Mozilla/5.0 (Linux; Android 10; musical_ly_2022803040 JsSdk/1.0 Channel/googleplay) {_WEBKIT} "
    "Chrome/126.0.0.0 Mobile Safari/537.36 BytedanceWebview/d8a21c6": (
        "TikTok", "Android", "phone", "TikTok"),
    "Mozilla/5.0 (SMART-TV; Linux; Tizen 5.0) AppleWebKit/537.36 SamsungBrowser/2.2 Chrome/63 TV "
    "Safari/537.36": ("Samsung Internet", "Tizen", "tv", ""),
    f"Mozilla/5.0 (Linux; Android 9; AFTMM Build/PS7233) {_WEBKIT} Chrome/70.0.0.0 Mobile Safari/537.36": (
        "Chrome Mobile", "Android", "tv", ""),
    "Mozilla/5.0 (PlayStation; PlayStation 5/2.26) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 "
    "Safari/605.1.15": ("Safari", "PlayStation", "console", ""),
    # Client hints.
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} Chrome/131.0.0.0 Safari/537.36 Sec-CH-UA (Brave)": (
        "Brave", "Windows", "desktop", ""),
    f"Mozilla/5.0 (X11; Linux x86_64) {_WEBKIT} Chrome/131.0.0.0 Safari/537.36 Sec-CH-UA (Android; Mobile)": (
        "Chrome", "Android", "phone", ""),
    # What the list takes for an engine, a maker or nothing.
    f"Mozilla/5.0 (Linux; Android 13; A) {_WEBKIT} Chrome/122.0 YaSearchBrowser/24.42 Mobile Safari/537.36": (
        "Yandex Browser", "Android", "phone", ""),
    f"Mozilla/5.0 (Web0S; Linux/SmartTV) {_WEBKIT} Chrome/94.0 Safari/537.36 HbbTV/1.5.1": (
        "LG Browser", "webOS", "tv", ""),
    f"Mozilla/5.0 (Linux; Andr0id 9; BRAVIA VH1) {_WEBKIT} Chrome/67.0 Safari/537.36 OPR/46.0 HbbTV/1.5": (
        "Opera", "Android", "tv", ""),
    f"Mozilla/5.0 (Phone; OpenHarmony 5.0) {_WEBKIT} Chrome/114.0 Safari/537.36 ArkWeb/4.1 Mobile": (
        "ArkWeb", "HarmonyOS", "phone", ""),
    f"Mozilla/5.0 (Linux; Android 7.0; M bot 60) {_WEBKIT} Chrome/58.0.3029.83 Mobile Safari/537.36": (
        "Chrome", "Android", "phone", ""),
    "curl/8.0": ("curl", "", "other", ""),
    "": ("", "", "other", ""),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), AGENTS.items(), ids=range(len(AGENTS)))
def test_agents(text: str, expected: tuple[str, ...]) -> None:
    assert parse(text) == expected


def test_every_common_browser_is_recognised() -> None:
    for browser in BROWSERS:
        agent = parse(browser[0].format(v=browser.versions[0], v_=browser.versions[0]))
        assert all((agent.browser, agent.os)), browser
        assert agent.device in ("desktop", "phone", "tablet"), browser
        assert not browser.mobile or agent.device != "desktop", browser


@given(st.text(max_size=255))
def test_any_agent_has_a_class_of_device(text: str) -> None:
    agent = parse(text)
    assert agent.device in DEVICES
    assert max(map(len, agent)) <= MAX_NAME


@pytest.mark.parametrize(
    ("text", "host", "source"),
    [
        ("https://www.Instagram.com/p/1?u=https://x.com/", "instagram.com", "Instagram"),
        ("https://l.instagram.com/", "l.instagram.com", "Instagram"),
        ("https://notinstagram.com/", "notinstagram.com", ""),
        ("https://instagram.com.example.org/", "instagram.com.example.org", ""),
        ("https://t.co/abc", "t.co", "X"),
        ("https://www.google.co.uk/", "google.co.uk", "Google"),
        ("https://news.google.de", "news.google.de", "Google"),
        ("https://google.example.com/", "google.example.com", ""),
        ("https://mail.google.com/mail", "mail.google.com", "Gmail"),
        ("android-app://org.telegram.messenger/", "org.telegram.messenger", "Telegram"),
        ("android-app://com.instagram.android/https/x.com", "com.instagram.android", "Instagram"),
        ("android-app://com.facebook.katana", "com.facebook.katana", "Facebook"),
        ("android-app://com.facebook.orca/", "com.facebook.orca", "Messenger"),
        ("android-app://com.zhiliaoapp.musically/", "com.zhiliaoapp.musically", "TikTok"),
        ("android-app://com.snapchat.android/", "com.snapchat.android", "Snapchat"),
        ("android-app://com.pinterest/", "com.pinterest", "Pinterest"),
        ("android-app://com.Slack/", "com.slack", "Slack"),
        ("android-app://com.discord/", "com.discord", "Discord"),
        ("android-app://com.microsoft.office.outlook/", "com.microsoft.office.outlook", "Outlook"),
        ("android-app://com.google.android.youtube/", "com.google.android.youtube", "YouTube"),
        ("android-app://org.joinmastodon.android/", "org.joinmastodon.android", "Mastodon"),
        ("android-app://xyz.blueskyweb.app/", "xyz.blueskyweb.app", "Bluesky"),
        ("android-app://com.tumblr/", "com.tumblr", "Tumblr"),
        ("android-app://com.instagram.barcelona/", "com.instagram.barcelona", "Threads"),
        ("android-app://com.google.android.apps.bard/", "com.google.android.apps.bard", "Gemini"),
        ("android-app://com.example.app/", "com.example.app", ""),
        ("https://n.safelinks.protection.outlook.com/", "n.safelinks.protection.outlook.com", "Outlook"),
        ("https://t.umblr.com/redirect", "t.umblr.com", "Tumblr"),
        ("https://l.wl.co/l?u=x", "l.wl.co", "WhatsApp"),
        ("https://statics.teams.cdn.office.net/", "statics.teams.cdn.office.net", "Teams"),
        ("https://chatgpt.com/", "chatgpt.com", "ChatGPT"),
        ("https://www.perplexity.ai/search", "perplexity.ai", "Perplexity"),
        ("https://gemini.google.com/app", "gemini.google.com", "Gemini"),
        ("https://claude.ai/new", "claude.ai", "Claude"),
        ("https://chat.deepseek.com/", "chat.deepseek.com", "DeepSeek"),
        ("https://fr.search.yahoo.com/", "fr.search.yahoo.com", "Yahoo"),
        ("https://mail.yahoo.com/", "mail.yahoo.com", "Yahoo Mail"),
        ("http://user:secret@example.org:8080/x", "example.org", ""),
        ("http://[2001:db8::1]:80/", "[2001:db8::1]", ""),
        ("https://example.org.", "example.org", ""),
        ("https://ex\x01ample.org/", "", ""),
        ("https://a b/", "", ""),
        ("https:///path", "", ""),
        ("about:blank", "", ""),
        ("javascript://x.com/", "", ""),
        (f"https://{'a' * 300}.com", "", ""),
        ("", "", ""),
    ],
)  # fmt: skip
def test_referrers(text: str, host: str, source: str) -> None:
    assert referrer.referrer_host(text) == host
    assert referrer.source_of_host(host) == source


@given(st.text())
def test_a_host_has_no_secrets_and_no_path(text: str) -> None:
    host = referrer.referrer_host(f"https://{text}")
    assert not set("/?# @\\") & set(host)
    assert len(host) <= referrer.MAX_HOST


@pytest.mark.parametrize(
    ("utm_source", "source"),
    [("ig", "Instagram"), ("Facebook", "Facebook"), ("TikTok.com", "TikTok"), ("hacker news", "Hacker News"),
     ("msg", "Messenger"), ("TH", "Threads"), ("an", "Audience Network"), ("chatgpt.com", "ChatGPT"),
     ("newsletter", ""), ("", "")],
)  # fmt: skip
def test_sources_of_utm(utm_source: str, source: str) -> None:
    assert referrer.source_of_utm(utm_source) == source


def test_the_referrer_decides_the_source_before_app_and_utm() -> None:
    app = UserAgent("", "", "phone", "TikTok")
    assert dimension_values.source("t.co", app, "ig") == "X"
    assert dimension_values.source("example.org", app, "ig") == "TikTok"
    assert dimension_values.source("", app._replace(app=""), "ig") == "Instagram"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", {}),
        (b"utm_source=ig&utm_medium=link+in%20bio", {"source": "ig", "medium": "link in bio"}),
        (b"UTM_Source=a&utm_source=b", {"source": "a"}),
        (b"utm_campaign=%E2%9C%93%00%0a%1b%5B31m", {"campaign": "\u2713 [31m"}),
        (b"utm_term=%ff%2", {"term": "\ufffd%2"}),
        (b"utm_content=" + b"x" * 300, {"content": "x" * utm.MAX_VALUE}),
        (b"utm_id=1&source&&=", {}),
    ],
)
def test_utm(query: bytes, expected: dict[str, str]) -> None:
    assert utm.parse(query) == utm.NONE._replace(**expected)


@given(st.binary(max_size=255))
def test_any_utm_is_printable_and_bounded(query: bytes) -> None:
    for value in utm.parse(b"utm_source=" + query):
        assert value.isprintable()
        assert len(value) <= utm.MAX_VALUE


@pytest.mark.parametrize(
    ("header", "expected"),
    [("de-AT,de;q=0.9,en;q=0.5", "de"), (" EN", "en"), ("fil-PH", "fil"), ("*", ""), ("", ""),
     ("i-klingon", ""), ("english", ""), ("zh-Hant-TW", "zh")],
)  # fmt: skip
def test_languages(header: str, expected: str) -> None:
    assert language.primary_language(header) == expected


def test_record_items() -> None:
    items = dimension_values.parse_items(
        item(PLACE, b"EU\x1fDE\x1fBY\x1fM\xc3\xbcnchen")
        + item(HOST, b"go.example.com")
        + item(UTM, b"utm_source=ig")
        + item(TRIGGER, bytes([Trigger.QR]))
    )
    assert items.place == Place("EU", "DE", "DE-BY", "München, DE")
    assert (items.domain, items.utm.source, items.trigger) == ("go.example.com", "ig", Trigger.QR)
    assert dimension_values.parse_items(item(PLACE, b"\x1f\x1fBY\x1fMunich")).place == Place(
        "", "", "", "Munich"
    )
    assert (
        dimension_values.parse_items(b"")
        == dimension_values.parse_items(b"\x01")
        == dimension_values.NO_ITEMS
    )
    assert dimension_values.parse_items(item(TRIGGER, b"\x09")).trigger == Trigger.LINK
