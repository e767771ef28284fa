"""Classes of devices, and what edge and fold make of the same text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clicks.agents.device import CONSOLE, DESKTOP, DEVICES, OTHER, PHONE, TABLET, TV, device
from engine.clicks.user_agent import parse
from engine.visits.edge_assignment import device_of
from engine.visits.request import VisitRequest

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


def android(model: str, *, mobile: bool = True, behind: str = "", version: str = "13") -> str:
    """Return the user agent of a browser on Android; `behind` is what an app adds."""
    safari = "Mobile Safari/537.36" if mobile else "Safari/537.36"
    return f"Mozilla/5.0 (Linux; Android {version}; {model}) {WEBKIT} Chrome/126.0 {safari} {behind}".strip()


IN_APPS = (
    "Instagram 334.0.0.42.95 Android (33/13; 420dpi; 1080x2106; samsung; SM-S911B; dm1q; qcom; "
    "de_DE)",
    "Barcelona 290.0.0.13.76 Android (33/13; 480dpi; 1080x2106)",
    "Snapchat/12.80.0.35 (SM-S911B; Android 13#1; gzip)",
    "TwitterAndroid",
    "[Pinterest/Android]",
    "Telegram-Android/10.0.5 (Samsung SM-S911B; Android 13; SDK 33; HIGH)",
)

AGENTS = (
    *((android("SM-S911B Build/TP1A; wv", behind=app), PHONE) for app in IN_APPS),
    *((android("SM-X910 Build/TP1A; wv", mobile=False, behind=app), TABLET) for app in IN_APPS),
    (android("K"), PHONE),
    (android("moto g power (2022)"), PHONE),
    (android("SM-N950W", mobile=False), PHONE),  # asks for desktop sites, and names its phone
    ("Dalvik/2.1.0 (Linux; U; Android 9; SM-G960F Build/PPR1)", PHONE),
    ("Dalvik/2.1.0 (Linux; U; Android 9; SM-T720 Build/PPR1)", TABLET),
    ("Opera/9.80 (Android; Opera Mini/36.2/119.132; U; id) Presto/2.12.423 Version/12.16", PHONE),
    ("UCWEB/2.0 (MIDP-2.0; U; Adr 9; ru; Redmi_7) U2/1.0.0 UCBrowser/9.4.1 U2/1.0.0 Mobile", PHONE),
    ("Nokia6300/2.0 (05.50) Profile/MIDP-2.0 Configuration/CLDC-1.1", PHONE),
    ("Mozilla/5.0 (Mobile; Nokia_8110_4G; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5", PHONE),
    (f"Mozilla/5.0 (Phone; OpenHarmony 5.0) {WEBKIT} Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1 "
     f"Mobile", PHONE),
    (f"Mozilla/5.0 (Linux; Android 10; HarmonyOS; NOH-AN00; HMSCore 6.1) {WEBKIT} Chrome/88.0 "
     f"Mobile Safari/537.36", PHONE),
    (f"Mozilla/5.0 (Linux; Android 10; HarmonyOS; BAH3-W09; HMSCore 6.1) {WEBKIT} Chrome/114.0 "
     f"Safari/537.36", TABLET),
    ("Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
     "Mobile/15E148", TABLET),
    (android("Lenovo TB-X306F"), TABLET),  # `Mobile` of an app, the model of a tablet
    (android("Redmi Pad"), TABLET),
    (android("KFMAWI", mobile=False, behind="Silk/128.5"), TABLET),
    ("Mozilla/5.0 (X11; U; Linux armv7l like Android; en-us) AppleWebKit/531.2+ (KHTML, like "
     "Gecko) Version/5.0 "
     "Safari/533.2+ Kindle/3.0+", TABLET),
    ("Mozilla/5.0 (Android 14; Tablet; rv:127.0) Gecko/127.0 Firefox/127.0", TABLET),
    (android("BRAVIA 4K GB Build/PTT1", mobile=False, version="9"), TV),
    (android("AFTS Build/LVY48F; wv", version="5.1"), TV),
    (android("AFTKA", mobile=False, version="9"), TV),
    (android("Chromecast HD Build/STTE", version="12"), TV),
    (android("MIBOX4", mobile=False, version="9"), TV),
    (android("43LF7010T Build/PPR2", mobile=False, version="9"), TV),
    (android("SHIELD Android TV", mobile=False, version="11"), TV),
    (f"Mozilla/5.0 (Web0S; Linux/SmartTV) {WEBKIT} Chrome/94.0.4606.128 Safari/537.36 "
     f"WebAppManager", TV),
    ("Mozilla/5.0 (SMART-TV; LINUX; Tizen 6.5) AppleWebKit/537.36 (KHTML, like Gecko) 85.0 TV "
     "Safari/537.36", TV),
    ("Mozilla/5.0 (Linux armv7l) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/77.0 "
     "Safari/537.36 OPR/46 OMI/4.20", TV),
    ("Opera/9.80 (Linux mips; ) Presto/2.12.407 Version/12.51 MB97/0.0.39.9 (HAIER, Si2157LG32, "
     "wired)", TV),
    ("Roku/DVP-12.0 (12.0.0.4182-55)", TV),
    ("AppleTV11,1/11.1", TV),
    ("Mozilla/5.0 (PLAYSTATION 3 4.90) AppleWebKit/531.22.8 (KHTML, like Gecko)", CONSOLE),
    (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox Series X) {WEBKIT} Chrome/126.0 "
     f"Safari/537.36 Edg/126.0", CONSOLE),
    ("Mozilla/5.0 (Nintendo Switch; WifiWebAuthApplet) AppleWebKit/609.4 (KHTML, like Gecko) "
     "NF/6.0.2", CONSOLE),
    (android("Retroid Pocket 5"), CONSOLE),
    (f"Mozilla/5.0 (X11; Linux x86_64; Valve Steam Client/Steam Deck) {WEBKIT} Chrome/126.0 "
     f"Safari/537.36", CONSOLE),
    (f"Mozilla/5.0 (X11; Linux x86_64; Quest 3) {WEBKIT} OculusBrowser/33.0 Chrome/124.0 VR "
     f"Safari/537.36", OTHER),
    (f"Mozilla/5.0 (Linux; Android 12; Quest 2) {WEBKIT} OculusBrowser/33.0 Chrome/124.0 Mobile "
     f"VR Safari/537.36", OTHER),
    (f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} Chrome/126.0.0.0 Safari/537.36", DESKTOP),
    (f"Mozilla/5.0 (Windows NT 6.1; Tablet PC 2.0) {WEBKIT} Chrome/99.0.0.0 Safari/537.36", DESKTOP),
    (android("HP Chromebook x2 Build/R76", mobile=False, version="9"), DESKTOP),
    # Client hints: an Android browser that requests desktop sites.
    (f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} Chrome/126.0 Safari/537.36 Sec-CH-UA (Android; "
     f"Mobile)", PHONE),
    (f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} Chrome/126.0 Safari/537.36 Sec-CH-UA (Brave; "
     f"Android)", TABLET),
    ("curl/8.5.0", OTHER),
    ("", OTHER),
)  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), AGENTS)
def test_classes_of_devices(text: str, expected: str) -> None:
    assert device(text) == expected


@given(st.sampled_from(AGENTS).map(lambda row: row[0]) | st.text(max_size=255))
def test_edge_and_fold_say_the_same(text: str) -> None:
    encoded = text.encode()[:255]
    folded = parse(encoded.decode("utf-8", "replace")).device
    request = VisitRequest(b"/x", b"", encoded, b"", b"", False, True)
    assert device_of(request) == folded
    assert folded in DEVICES
