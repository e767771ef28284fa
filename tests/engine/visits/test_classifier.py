"""Classifications of user agents and headers."""

import pytest
from crawleruseragents import CRAWLER_USER_AGENTS_DATA
from hypothesis import given
from hypothesis import strategies as st

from engine.clicks.click import (
    BOT_CLASSES,
    CLASS_MASK,
    COUNTED_CLASSES,
    RULES_VERSION_SHIFT,
    VisitorClass,
)
from engine.visits import classifier
from engine.visits.classifier import (
    HEAD_RECORDED,
    KINDS,
    PREFETCH_RECORDED,
    RULES_VERSION,
    ClassificationCache,
    classification_of,
    judge,
    pack_classification,
)

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
ANDROID = "Mozilla/5.0 (Linux; Android 13; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko)"

HUMAN = [
    f"{IPHONE} Version/17.4 Mobile/15E148 Safari/604.1",
    f"{ANDROID} Chrome/124.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/124.0.0.0 "
    "Safari/537.36 Edg/124.0.0.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko",
    f"{ANDROID} Chrome/124.0.0.0 Mobile Safari/537.36 WhatsApp/2.24",
    f"{ANDROID} Version/4.0 Chrome/98.0 Mobile Safari/537.36 SogouSearch Android1.0 "
    f"SogouMobileBrowser/6.0",
    "Opera/9.80 (Android; Opera Mini/36.2) Presto/2.12.423 Version/12.16",
    f"{IPHONE} Mobile/21E236 Instagram 327.1.0.24.90 (iPhone15,2; iOS 17_4; de_DE; scale=3.00)",
    f"{IPHONE} Mobile/15E148 [FBAN/FBIOS;FBAV/451.0.0.40.106;FBDV/iPhone14,5]",
    f"{ANDROID} Version/4.0 Chrome/124.0 Mobile Safari/537.36 trill_330603 "
    f"BytedanceWebview/d8a21c6",
    f"{IPHONE} Mobile/15E148 musical_ly_33.6.0 JsSdk/2.0 NetType/WIFI",
    f"{IPHONE} Mobile/15E148 Snapchat/12.80.0.35 (like Safari/8617.2.4.10.8, panda)",
    f"{IPHONE} Mobile/15E148 [Pinterest/iOS]",
    f"{IPHONE} Mobile/15E148 [LinkedInApp]/9.29.7447",
    f"{IPHONE} Mobile/15E148 Twitter for iPhone/10.34",
    f"{IPHONE} GSA/310.0.625295312 Mobile/15E148 Safari/604.1",
    f"{IPHONE} Mobile/21F90 Instagram 336.0.7.33.90 (iPhone14,5; iOS 17_5_1; en_US; scale=3.00; "
    f"IABMV/1)",
    f"{ANDROID} Version/4.0 Chrome/124.0.6367.179 Mobile Safari/537.36 trill_2023403060 "
    "JsSdk/1.0 NetType/WIFI Channel/googleplay AppName/trill app_version/34.3.6 "
    "BytedanceWebview/d8a21c6",
    f"{ANDROID} Version/4.0 Chrome/103.0.5060.71 Mobile Safari/537.36 musical_ly_2022503040 "
    "JsSdk/1.0 NetType/WIFI Channel/googleplay AppName/musical_ly app_version/25.3.4 "
    "ByteLocale/en Region/US",
    f"{ANDROID} Version/4.0 Chrome/124.0 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/465.0.0.49.109;]",
    f"{ANDROID} Version/4.0 Chrome/120.0 Mobile "
    f"Safari/537.36[FBAN/EMA;FBLC/de_DE;FBAV/390.0.0.9.116;]",
    f"{ANDROID} Version/4.0 Chrome/116.0 Mobile Safari/537.36 Barcelona 290.0.0.13.76 Android "
    f"(33/13; 480dpi)",
    f"{ANDROID} Version/4.0 Chrome/111.0 Mobile Safari/537.36 XWEB/1110005 MMWEBSDK/20230701 "
    f"MicroMessenger/"
    "8.0.40.2420(0x28002858) WeChat/arm64 Weixin NetType/WIFI Language/zh_CN ABI/arm64",
    f"{IPHONE} Mobile/15E148 MicroMessenger/8.0.38(0x18002633) NetType/4G Language/zh_CN",
    f"{ANDROID} Version/4.0 Chrome/97.0 Mobile Safari/537.36 T7/13.32 SP-engine/2.70.0 "
    "baiduboxapp/13.32.0.10 (Baidu; P1 10) NABar/1.0",
    f"{IPHONE} Mobile/15E148 SP-engine/2.30.0 main%2F1.0 baiduboxapp/12.17.0.16 (Baidu; P2 14.6)",
    f"{ANDROID} Version/4.0 Chrome/118.0 Mobile Safari/537.36 com.linkedin.android/4.1.862",
    f"{ANDROID} Version/4.0 Chrome/117.0 Mobile Safari/537.36 Viber/20.7",
    f"{ANDROID} Version/4.0 Chrome/117.0 Mobile Safari/537.36 Telegram-Android/10.0.5 (Google "
    f"Pixel 6a)",
    f"{IPHONE} Mobile/15E148 Tumblr/iPhone/32.3/323010/17.4/tumblr",
    f"{IPHONE} Mobile/15E148 KAKAOTALK 10.2.5",
    f"{IPHONE} Mobile/15E148 NAVER(inapp; search; 1070; 12.2.0; 13PRO)",
    f"{ANDROID} Chrome/114.0 Mobile Safari/537.36 EdgA/114.0 BingSapphire/25.7",
    "Mozilla/5.0 (Linux; Android 15; CPH2557 Build/AP3A.240617.008; wv) AppleWebKit/537.36 "
    "(KHTML, like Gecko) "
    "Version/4.0 Chrome/142.0 Mobile Safari/537.36 [LinkedInApp]/4.1.913",
    "Mozilla/5.0 (Linux; Android 15; CPH2557 Build/AP3A.240617.008) AppleWebKit/537.36 (KHTML, "
    "like Gecko) "
    "Chrome/142.0 Mobile Safari/537.36",
    # A name in the model means nothing.
    f"Mozilla/5.0 (Linux; Android 7.0; M bot 54) {WEBKIT} Chrome/78.0.3904.96 Mobile Safari/537.36",
    f"Mozilla/5.0 (Linux; Android 6.0; VR BOT 552 PLUS Build/MRA58K) {WEBKIT} "
    f"Chrome/78.0.3904.96 Mobile Safari/537.36",
    f"Mozilla/5.0 (Linux; U; Android 4.3; en-us; HTC_Butterfly Build/JSS15J) {WEBKIT} "
    f"Version/4.0 Mobile Safari/534.30",
    f"Mozilla/5.0 (Linux; Android 8.0.0; Expanse) {WEBKIT} Chrome/86.0.4240.99 Mobile "
    f"Safari/537.36",
    f"Mozilla/5.0 (Linux; Android 8.1.0; Fever_Plus Build/O11019; wv) {WEBKIT} Version/4.0 "
    f"Chrome/99.0 Mobile Safari/537.36",
    f"Mozilla/5.0 (Linux; U; Android 2.3; en-us; ViewSonic-ViewPad7e Build/ERE27) {WEBKIT} "
    f"Version/4.0 Safari/533.1",
    f"Mozilla/5.0 (Linux; Android 13; Spider 8) {WEBKIT} Chrome/124.0.0.0 Safari/537.36",
    f"Mozilla/5.0 (Linux; Android 12; moto g spider (2022)) {WEBKIT} Chrome/124.0.0.0 Mobile "
    f"Safari/537.36",
    # Cut off in front, without Mozilla, in text.
    f"(Linux; Android 10; K) {WEBKIT} Chrome/124.0.0.0 Mobile Safari/537.36",
    "UCWEB/2.0 (MIDP-2.0; U; Adr 9; ru; ZTE_Blade) U2/1.0.0 UCBrowser/10.7.6.805 U2/1.0.0 Mobile",
    "Lynx/2.9.0dev.5 libwww-FM/2.14 SSL-MM/1.4.1 GNUTLS/3.6.13",
    f"TV Bro/1.0 {ANDROID} Version/4.0 Chrome/81.0.4044.111 Mobile Safari/537.36",
    "App/1.0 Mozilla/5.0 (Linux; Android 9; SM-G960F; wv) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/81.0 Mobile",
    # Windows of apps that are made of websites.
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Slack/4.35.126 Chrome/116.0 "
    f"Electron/26.2 Safari/537.36 "
    "Slack_SSB/4.35.126",
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Code/1.85.1 Chrome/114.0 "
    f"Electron/25.9.7 Safari/537.36",
    "Mozilla/5.0 (Macintosh; U; Intel Mac OS X; en) AppleWebKit/525.1 (KHTML, like Gecko) "
    "Fluid/0.9.4 Safari/525",
    # Old, on consoles and TVs.
    "Mozilla/4.76 [en] (X11; U; Linux 2.4.2-2 i686)",
    "Mozilla/5.0 (PLAYSTATION 3; 3.55)",
    "Mozilla/5.0 (Nintendo 3DS; U; ; de) Version/1.7552.EU",
    "Mozilla/5.0 (Linux; Android 9; CUBOT_X18_Plus) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/96.0 "
    "Mobile Safari/537.36",
]
BOT = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    f"{ANDROID} Chrome/124.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; "
    f"+http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; "
    "+https://openai.com/gptbot)",
    "Mozilla/5.0 (compatible; Acme/1.0)",
    "Mozilla/5.0 (compatible; MyFetcher/1.0; Windows NT 10.0)",
    "Mozilla/5.0",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko; pageburst) "
    "Chrome/109.0 Safari/537.36",
    "Mozilla/5.0 (Linux; Android 8.0; Pixel 2 Build/OPD3; Storebot-Google/1.0) "
    "AppleWebKit/537.36 Chrome/81.0 Mobile",
    "Mozilla/5.0 (Windows NT 6.1; WOW64; rv:26.0) Gecko/20100101 Firefox/26.0 (lab@example.com)",
    "Acme Archiver (https://acme.example)",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0 "
    "Safari/537.36",
    "Baiduspider+(+http://www.baidu.com/search/spider.htm)",
    "MyOwnBot/0.1",
    "Somebody's crawler",
]  # fmt: skip
MONITOR = [
    "kube-probe/1.29",
    "ELB-HealthChecker/2.0",
    "GoogleHC/1.0",
    "Amazon-Route53-Health-Check-Service (ref 8e2fc7; report http://amzn.to/1vsZADi)",
    "Mozilla/5.0 (compatible; Cloudflare-Healthchecks/1.0; +https://www.cloudflare.com/; "
    "healthcheck-id: 1a)",
    "Mozilla/5.0 (compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
    "check_http/v2.3.3 (nagios-plugins 2.3.3)",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/120.0 DatadogSynthetics",
]
APP = [
    "AppleCoreMedia/1.0.0.21F90 (iPhone; U; CPU OS 17_5_1 like Mac OS X; de_de)",
    "VLC/3.0.20 LibVLC/3.0.20",
    "Spotify/8.9.40 iOS/17.5 (iPhone15,2)",
    "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.14228; Pro)",
    "Outlook-iOS/723.4027091.prod.iphone (4.28.0)",
    "AntennaPod/3.4.0",
    "CoolerFM/1.0 iPhone/15 +https://cooler.example",
    "SomeApp/12 CFNetwork/1494.0.7 Darwin/23.4.0",
    "Dalvik/2.1.0 (Linux; U; Android 13; SM-S918B Build/TP1A.220624.014)",
    "Nokia6300/2.0 (05.50) Profile/MIDP-2.0 Configuration/CLDC-1.1",
    "SAMSUNG-SGH-E250/1.0 Profile/MIDP-2.0 Configuration/CLDC-1.1 UP.Browser/6.2.3.3.c.1.101 "
    "(GUI) MMP/2.0",
    "WhatsApp/2.17.427 Android/7.0 Device/motorola-Moto_C_Plus",
]
PREVIEW = [
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "facebookexternalhit/1.1 Facebot Twitterbot/1.0",  # iMessage
    "WhatsApp/2.23.20.0 A",
    "Viber",
    "Tumblr/14.0.835.186",
    "Hatena Antenna/0.3",
    "Mozilla/5.0 (compatible; Bluesky Cardyb/1.1; +mailto:support@bsky.app)",
    "Twitterbot/1.0",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "TelegramBot (like TwitterBot)",
    "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
    "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
    "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5",
]
TOOL = [
    "", "  ", "curl/8.5.0", "Wget/1.21.4", "python-requests/2.31.0", "python-httpx/0.27.0",
    "Python-urllib/3.11", "aiohttp/3.9", "Go-http-client/1.1", "okhttp/4.9", "axios/1.6", "node-fetch/1.0",
    "HTTPie/3.2", "wrk/4.1", "PostmanRuntime/7.36", "ua", "visitor/1.0", "some-check/2", "my test agent",
    "web/1", "okhttp/5.0",
]  # fmt: skip


@pytest.mark.parametrize(
    ("agent", "kind", "counted"),
    [
        *((agent, "human", True) for agent in HUMAN),
        *((agent, "bot", False) for agent in BOT),
        *((agent, "monitor", False) for agent in MONITOR),
        *((agent, "preview", False) for agent in PREVIEW),
        *((agent, "app", True) for agent in APP),
        *((agent, "tool", True) for agent in TOOL),
    ],
)
def test_by_user_agent(agent: str, kind: str, counted: bool) -> None:
    classification = judge(agent)
    assert (classification.kind, classification.counted, classification.rule) == (
        kind,
        counted,
        RULES_VERSION,
    )
    assert bool(classification.name) == (kind != "human")
    assert judge(agent.encode()) == classification


@pytest.mark.parametrize(
    "word", ["acmebot", "bots", "AcmeCrawler", "spider", "+https://acme.example/"]
)
def test_a_browser_that_calls_itself_a_machine_is_one(word: str) -> None:
    assert judge(f"{HUMAN[3]} Acme").kind == "human"
    assert judge(f"{HUMAN[3]} {word}").kind == "bot"


def test_nearly_no_crawler_of_the_list_is_human() -> None:
    """The few others are browsers inside apps, which the list takes for crawlers."""
    agents = [agent for entry in CRAWLER_USER_AGENTS_DATA for agent in entry.get("instances", ())]
    humans = [agent for agent in agents if judge(agent).kind in ("human", "app")]
    assert len(agents) > 1_000
    assert len(humans) <= len(agents) / 100, humans


@pytest.mark.parametrize("name", ["Sec-Purpose", "sec-purpose", "Purpose", "X-Purpose", "X-Moz"])
@pytest.mark.parametrize("value", ["prefetch", "prefetch;prerender", "prerender", "Preview"])
def test_a_browser_that_loads_ahead_is_a_prefetch(name: str, value: str) -> None:
    assert judge(HUMAN[0], {"Accept": "*/*", name: value}).kind == "prefetch"
    assert judge(HUMAN[0], {name: "navigate"}).kind == "human"
    assert judge(HUMAN[0], {"X-Other": value}).kind == "human"


def test_head_is_head_whoever_sends_it() -> None:
    assert judge(BOT[0], {"Purpose": "prefetch"}, "head").kind == "head"
    assert judge(None).kind == "tool"


def test_client_hints_say_what_the_user_agent_hides() -> None:
    agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36"
    brands = '"Chromium";v="131", "Not_A Brand";v="24", "%s";v="131"'
    assert judge(agent).kind == "human"
    assert judge(agent, {"Sec-CH-UA": brands % "Brave"}).kind == "human"
    headless = judge(agent, {"sec-ch-ua": brands % "HeadlessChrome", "Sec-CH-UA-Mobile": "?0"})
    assert (headless.kind, headless.counted) == ("bot", False)


def test_one_table_says_what_is_counted() -> None:
    assert {kind for kind in KINDS if classification_of(kind).counted} == {"human", "app", "tool"}
    assert len(set(KINDS.values())) == len(KINDS) == len(VisitorClass) - 1  # UNCLASSIFIED
    assert max(VisitorClass) <= CLASS_MASK == (1 << RULES_VERSION_SHIFT) - 1
    assert pack_classification(classification_of("monitor")) < 256


@given(st.binary(max_size=300))
def test_any_user_agent_has_a_classification_that_fits_its_byte(agent: bytes) -> None:
    byte = pack_classification(judge(agent))
    visitor_class = VisitorClass(byte & CLASS_MASK)
    assert byte >> RULES_VERSION_SHIFT == RULES_VERSION
    assert (visitor_class in COUNTED_CLASSES) == judge(agent).counted
    assert (visitor_class in COUNTED_CLASSES) != (visitor_class in BOT_CLASSES)
    assert ClassificationCache()[agent] == byte


def test_a_head_and_a_prefetch_have_their_own_bytes() -> None:
    assert HEAD_RECORDED & CLASS_MASK == VisitorClass.HEAD
    assert PREFETCH_RECORDED & CLASS_MASK == VisitorClass.PREFETCH


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "MAX_KNOWN", 3)
    cache = ClassificationCache()
    for number in range(10):
        assert cache[b"agent %d" % number] == cache[b"agent %d" % number]
        assert len(cache) <= 3
