"""The class of device that a user agent names: desktop, phone, tablet, TV, console or other.

One function for every reader: an edge targets experiments by it, a fold counts by it, a member's stats are
filtered by it. No browser tells its class of device, so it follows, in this order, from

1. words that name a class (`PlayStation`, `SmartTV`, `iPad`) or a system that only one class has (`tvOS`);
2. on Android, the model: makers begin a TV's with its inches (`43LF7010T`) and name a tablet a tab or a pad;
3. on Android, `Mobile`, which Google asks makers to leave out of tablets' browsers. It stands anywhere in the
   text, as apps add `Android` once more behind it. A program that is no browser says it of no device, so its
   Android is a phone;
4. the system: Windows, macOS and Linux with a window system are desktops, Linux on an embedded processor
   is a TV.

Headsets, watches, cars, speakers and cameras are `other`. An iPad that requests desktop sites looks like a Mac.
All words are found in one pass over the lower-cased text (Aho and Corasick), so a text takes some 7 µs; a
text is read once and remembered.
"""

import re
from functools import cache, lru_cache
from typing import Any, Final

DESKTOP: Final = "desktop"
PHONE: Final = "phone"
TABLET: Final = "tablet"
TV: Final = "tv"
CONSOLE: Final = "console"
OTHER: Final = "other"
DEVICES: Final = (DESKTOP, PHONE, TABLET, TV, CONSOLE, OTHER)

MAX_KNOWN: Final = 16_384

# What a word says of the text. In the order in which they decide.
_CONSOLE, _HEADSET, _TV, _TV_MAKER, _ACCESSORY, _TABLET, _PHONE, _DESKTOP = (
    1 << bit for bit in range(8)
)
_ANDROID, _MOBILE, _BROWSER, _EMBEDDED = (1 << bit for bit in range(8, 12))

_WORDS: Final = {
    _CONSOLE: (
        "playstation", "(ps3", " ps3/", ";ps4;", ";ps5;", "; xbox", "(xbox", " xbox", "nintendo",
        "nitro)", "ouya", "archos gamepad", "dreamcast", "dreampassport", "dreamkey", "segasaturn",
        "planetweb", "steam deck", "steam gamepad", "retroid pocket", "jxd_s", "gpd xd", "gr0006",
        "category=game", "razer edge",
    ),
    _HEADSET: (
        "oculus", "quest 2", "quest 3", "quest pro", "pico neo", "pico 4", "picobrowser",
        "vision pro", "mobile vr", "htc vive", "glass 1", "glass enterprise",
    ),
    _TV: (
        "smart-tv", "smarttv", "smart tv", "smart_tv", "smarthub", "googletv", "google tv",
        "google_tv", "android tv", "androidtv", "appletv", "apple tv", "apple_tv", "tvos", "hbbtv",
        "netcast", "nettv", "net tv", "netrange", "nettvbrowser", "ce-html", "web0s", "webos.tv",
        "webostv", "viera", "bravia", "sonycebrowser", "sonydtv", "sony_tv", "roku", "crkey",
        "chromecast", "philipstv", "tv safari", "tv store", "opera tv", "dlnadoc", "kreatv",
        "vidaa", "vizio", "boxee", "espial", "aquosbrowser", "aquos-tv", "toshiba-tv",
        "toshiba-dtv", "inettvbrowser", "shield android", "freebox", "pov_tv", "large screen",
        "bdplayer", "blu-ray", "nexus player", "mibox", "mitv", "mi tv", "mi box", "yndx-000",
        " omi/", "tclwebkit", " stb", "stb/", "brightsign", "tvbrowser", "tivimate", "kepler/",
        "google fiber", "(astro;", "safari/537.36 tv", "settop", "set-top", "set top", "stbapp",
        "mag200", "mag250", "mag254", "lg browser/", "lgwebostv", "sraf/", " tbrowser/", "webtv",
        "navio_aoltv", "gooroo tv", "wyplay", "magentatv", "tv box", "tvbox", "tv-box", "avgleu",
        "leanback", "atvflix", "firetv", "fire tv", "dtvnetbrowser", "nintendo wiitv", "ovi tv",
        "beelink", "mecool", "ugoos", "vontar", "zidoo", "mygica", "rombica", "iconbit", "formuler",
        "polarline", "tanix", "evpad", "vorke", "openbox", "transpeed", "smart box",
        "smartbox", "movix", "shell lc", "shell t3", "mystery shell", "econ shell", "android_tv",
    ),
    _TV_MAKER: (  # makers of phones, too: on Android, the model says which
        "hisense", "mstar", "maple", "loewe", "arcelik", "beko", "dvb", "vestel", "technisat",
        "dunehd", "humax", "changhong", "grundig", "sky_stb", "gw-device", "sky_ott", "sagemcom",
        "lge;", "metz", "coolita os", "amazon;aft", "kivi", "hitachi", "skyworth", "(;", "wpe ",
    ),
    _ACCESSORY: (
        "watch os", "watchos", "apple watch", "applewatch", "wear os", "sm-r", "smartwatch",
        "tesla/", "qtcarbrowser", "automotive", "carbrowser", "alexamediaplayer", " echo/",
        "homepod", "audioaccessory", "sonos", "google home", "nest hub", "walkman", "zune",
        "galaxycamera", "ek-gc", "printer",
    ),
    _TABLET: (
        "ipad", "tablet", "kindle", "playbook", "touchpad", "nook", "xoom", "/apad", "mediapad",
        "matepad", "ideapad", "ideatab", "galaxy tab", "transformer", "iplay", "lifetab", "surfpad",
        "rim tablet", "kobo", "pocketbook", "sony tablet", "streak 7", "tolino", "pixel c ",
        "pixel c)", "nexus 7", "nexus 9", "nexus 10", "shield tablet", "slidepad", "arnova",
        "memo pad", "folio100", "iconia", "windows nt 6.2; arm", "windows nt 6.3; arm",
        "xiaomi pad", "redmi pad", "mi pad", "honor pad", "oneplus pad", "realme pad", "vivo pad",
        "oppo pad", "yoga tab", "padfone t", "viewpad", "advantab", "silk/", "ereader", "e-reader",
        "android 3.", "puffin/3.1", "ebrd", "cybook", "lepad", "wetab", "htc_flyer", "bookeen",
    ),
    _PHONE: (
        "iphone", "ipod", "lumia", "windows phone", "windows mobile", "windows ce", "iemobile",
        "wp7", "blackberry", "bb10", "opera mini", "opera mobi", "kaios", "symbian", "series60",
        "series40", "series80", "series 60", "s60;", "midp", "cldc", "up.browser", "up.link",
        "obigo", "maui", "docomo", "kddi-", "softbank", "j-phone", "vodafone/", "willcom",
        "ddipocket", "palmos", "palmsource", "blazer", "bada", "brew", "ucweb", "j2me", "maemo",
        "meego", "sailfish", "hpwos", "webos/", "mre/", "threadx", "nokia", "netfront", "openwave",
        "novarra", "samsung-", "lg-", "lge-", "sonyericsson", "mot-", "motorola", "htc_", "htc-",
        "sie-", "sec-sgh", "sanyo", "panasonic-", "sharp-", "alcatel", "phone", "pda;",
        "danger hiptop", "wpdesktop", "cfnetwork", "pocket pc", "sgh-", "sch-", "sph-", "teleca",
        "jasmine", "dorado", "wap-browser", "wap browser", "wap1.", "wap2.", "wap/", "mmp/", "(iph",
        "jig browser", "fennec", "nucleus", "mocor", " ios/", "mauibrowser", "imode", "portalmmm",
        "dolfin", "ninesky-android-mobile",
        "okhttp", "micromax", "gionee", "spice", "huawei", "zte-",
    ),
    _DESKTOP: (
        "windows", "win16", "win32", "win64", "win98", "winnt", "win9", "win10", "win upd",
        "win x64", "winmosaic", "macintosh", "mac os", "mac_powerpc", "mac_intel", "macos",
        "mac 10", "macbook", "imac", "x11", "cros ", "bsd", "sunos", "linux x86", "linux i",
        "linux; x", "chromebook", "amiga", "beos", "haiku", "os/2", "webexplorer", "ubuntu",
        "centos", "debian", "fedora", "red hat", "solaris", "irix", "risc os", "osf1", "hp-ux",
        "morphos", "unix", "ultrix", "vms", "qnx", "aros", "syllable",
    ),
    _ANDROID: ("android", "adr ", "harmony", "openharmony", "fuchsia"),
    _MOBILE: ("mobile", "mobi;"),
    _BROWSER: ("safari", "firefox", "opr/"),
    _EMBEDDED: ("linux mips", "linux arm", "linux sh4", "linux 7", "linux;mips", "linux/sh4"),
}  # fmt: skip

# Android's model, which stands behind the version and a locale.
_MODEL: Final = re.compile(
    r"(?:android|adr|harmonyos)[^;)]*; ?(?:harmonyos; ?|applewebkit[^;]*; ?build[^;]*; ?)?"
    r"(?:[a-z]{2}(?:[-_][a-z]{2,4}){0,2} ?; ?)?(?:arm_64; )?([^;)]*?)(?: build|[;)]|$)"
)
# A TV's model has its inches, a stick's or a box's its maker's series.
_INCHES: Final = "(?:19|2[2348]|32|39|4[0-358-9]|5[0358]|6[05]|7[05]|8[256])"
_TV_MODEL: Final = re.compile(
    rf"^{_INCHES}[a-z]{{1,6}}[a-z0-9]*[-_0-9]|"
    r"(?:^|[-_ ])[a-z]{0,4}[-_]?(?:24|32|39|4[0358]|5[058]|65|75)[a-z]{1,6}\d{2,}|^aft[a-z]|"
    r"led[-_ ]?\d\d|\d\d[-_ ]?led|uhd|(?:^|[^a-z])(?:[sdaig]|smart|sw|hg)?tv(?:[^a-z0-9]|$)|"
    r"^[a-z]{4,}(?:tv|atv)(?:\d|$|ap|[-_ ])|[a-z]box(?:[^a-z]|$)|you-box|stick(?:[^a-z]|$)|"
    r"^(?:x96|x88|h96|a95x|t9[56]|tx[3569]|mxq|hk1|gt-?king|hty-|tvs-|yndx-00[01]|neo[- _]?[ux]\d|"
    r"nexon|neko|selenga|invin|orbsmart|yundoo|rkm |mk80\d|matador|ozonehd|nexbox|amigo7|kant-|"
    r"abx-|skyline|vega s9|perfeo_pf|nogapc|netta|vekta|dreamstar|spybox|andowl|technosat|"
    r"fundroid|gazal|draco aw|erisson|telefunken|olto|horizont|hiremco|pendoo|dolamee|vhix|lumus|"
    r"onvo)"
)
# The same of what calls itself no phone: parts of names that phones have as well.
_TV_MODEL_UNLESS_MOBILE: Final = re.compile(
    rf"^[a-z]{{1,9}}[-_ ]?{_INCHES}(?:[a-z]{{1,5}}\d|-|$)|[a-z]tv(?:\d|$|[-_ ])|"
    r"^(?:tv|box)|box(?:[^a-z]|$)|4k(?:[^a-z]|$)|(?:^|[^a-z])led|lcd|stb|ott|shell |dtv|s905|"
    r"^(?:a5x|m8s|km\d(?:[^\d]|$)|tox[13]|qk9|tr99|z28|v88|rk3|r69|q96|ax9|qm1|tpm1|amlogic|"
    r"realtek|cvte|philips|bv6|hisense|skyworth|minix|polar[-_ ]|vmp|atom-|adt-|haier|sw-|tf-led|"
    r"dm-|ct-|red \d|ip-\d)"
)
# A tablet's model says tab or pad, or is of a maker's series.
_TABLET_MODEL: Final = re.compile(
    r"(?:^|[^a-z])[a-z]*(?:tab|(?<!gam)(?<!cool)pad)(?:[^a-z]|$)|tab[ _]?\d|(?<!cool)pad[ _]?\d|"
    r"(?:^|[ _-])(?:7|8|9\.7|10(?:\.1)?)(?: ?inch|[ _](?:3g|4g|lte|hd)(?:[^a-z]|$))|mid[-_]?\d{3}|"
    r"^(?:samsung[ -])?(?:sm-[tpx]\d|gt-(?:p\d|n[58]\d)|sm-n8000|sc-?(?:01[ce]|02d)|sch-i(?:800|"
    r"815|905)|sgh-i(?:497|957))|^kf[a-z]{2,6}\b|^(?:lenovo )?(?:t[bp]|yt|yb)-?[a-z]?\d|"
    r"^(?:lenovo )?(?:a\d{4}-[fh]|s\d000-|b[68]0\d0)|^lenovo (?:k10|pb)|"
    r"^(?:huawei )?[a-z0-9]{3,4}-w\d\d|^(?:ag[rs]\d?|bah\d?|btv|sht|kob2?|jdn2?|cmr|vrd|cpn|mon|"
    r"bz[a-z]|bg[2o]|dby2?|eln|gem|scm|t1|s8|mrx)-|^lg-[vu][4-9]|^nokia t\d|^htc (?:flyer|a100)|"
    r"^htc_flyer|^tecno (?:t|p7|p9|dp|d[pr])|^bq(?:ru)?[-_ ]?[178]\d{3}|^nomi[ _]c|^e1c|^kt\d00|"
    r"^elite oct|^(?:rc|sp|mt|ct|tel|ek|an|torex|idbot)-?(?:7[0-9]|8[0-2]|10)\d[a-z]|^itel (?:w7|"
    r"p10)|^infinix x11|^moto tab|^bntv|^(?:8(?:0[4-9])\d|9(?:0(?!08)|1)\d\d)[a-z]?\d?$|"
    r"^archos ?t?(?:[789]|1\d)\d|^(?:tpc|tt|bdf|pmt|wo|citi|qs|rct|mfc|ccit a|an10|rmd|alfa|ax4|"
    r"z1000|tz\d|mq7|vt7|xr6|jk7|spng|nxm|b3-a|b1-7|a1-8)[-_ ]?[a-z]?\d|^(?:opd2|pmp\d|tm-?(?:7|8|"
    r"9|1)\d\d|t\d0mini|m40|m50hd|p(?:20|25|26|30|40)(?:hd|t|s|_)|2[2-5]\d\d\d?[0-9]?rp)|"
    r"^(?:optima|plane|readboy|numy|hope[789]|irulu|ideos s7|quantum_|aquarius|mc_faust|ginzzu gt|"
    r"odys|captiva|momo\d|ainol|onda|teclast|chuwi|masstel t|sky 8|rover ?pad|iball|navitel|pixus)"
)
_PHONE_MODEL: Final = re.compile(
    r"^(?:samsung[ -])?(?:sm-[acefgjmnsz]\d|gt-[bcis]\d|sgh|sch|sph)|^pixel(?! c| tab)|^moto|"
    r"^redmi(?! pad)|^rmx\d|^cph\d|^(?:htc|lg|nokia|vivo|oppo|infinix|tecno|itel|realme|poco|"
    r"coolpad)[ _-]|^(?:xt|m20|vog|lya|eml|clt|ane)\d*-?"
)
_CONSOLE_MODEL: Final = re.compile(
    r"^(?:shield(?: build)?$|rg ?(?:\d{3}|cube|arc)|switch (?:lite|oled)|retroid)"
)


@lru_cache(MAX_KNOWN)
def device(text: str) -> str:
    """Return the class of device that a user agent names, one of DEVICES."""
    lowered = text.lower()
    signs = 0
    for _, sign in _words().iter(lowered):
        signs |= sign
    if signs & _ANDROID:
        return _android_device(lowered, signs)
    if signs & _CONSOLE:
        return CONSOLE
    if signs & _HEADSET:
        return OTHER
    if signs & (_TV | _TV_MAKER):
        return TV
    if signs & _ACCESSORY:
        return OTHER
    if signs & _TABLET and not ("tablet pc" in lowered or "wpdesktop" in lowered):
        return TABLET
    if (signs & _DESKTOP and not signs & (_MOBILE | _PHONE)) or "(x86_64)" in lowered:
        return DESKTOP
    if signs & (_PHONE | _MOBILE):
        return PHONE
    if signs & _EMBEDDED:
        return TV
    return DESKTOP if "linux" in lowered or signs & _DESKTOP else OTHER


def _android_device(lowered: str, signs: int) -> str:
    match = _MODEL.search(lowered)
    model = match[1].strip() if match else ""
    if signs & _CONSOLE or _CONSOLE_MODEL.search(model):
        return CONSOLE
    if signs & _HEADSET:
        return OTHER
    if signs & _TV or _TV_MODEL.search(model):
        return TV
    if "chromebook" in lowered:
        return DESKTOP
    if "windows phone" in lowered:
        return PHONE
    if signs & _TABLET or _TABLET_MODEL.search(model):
        return TABLET
    if _PHONE_MODEL.search(model):
        return PHONE
    if not signs & _MOBILE and _TV_MODEL_UNLESS_MOBILE.search(model):
        return TV
    if signs & _ACCESSORY:
        return OTHER
    if signs & _MOBILE or not signs & _BROWSER:  # a text that is cut off lacks its `Mobile`, too
        return PHONE
    return TABLET


@cache
def _words() -> Any:
    import ahocorasick

    automaton = ahocorasick.Automaton()
    signs: dict[str, int] = {}
    for sign, words in _WORDS.items():
        for word in words:
            signs[word] = signs.get(word, 0) | sign
    for word, sign in signs.items():
        automaton.add_word(word, sign)
    automaton.make_automaton()
    return automaton
