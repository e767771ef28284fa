"""Names by which programs are known: crawlers, monitors, previews, tools, and what they call themselves.

Names of known programs are those of `crawler-user-agents`, by its tags, and few that it lacks. All words
are found in one pass (Aho and Corasick, 1975: "Efficient string matching", CACM 18:6), whatever the number of
names; an expression is tried where a word of it is found.
"""

import re
from functools import cache
from typing import Any, Final, NamedTuple

# Patterns that are too loose: browsers inside these apps have their names at the end, previews at the start.
_STRICTER: Final = {
    "WhatsApp": "^[Ww]hats[Aa]pp/[0-9.]+(?: [AaIiNnWw])?$", "Viber": "^Viber",
    "Tumblr\\/": "^Tumblr/", "Bluesky\\/": "^Bluesky/", "Notion\\/": "^Notion/",
    "Hatena": "^Hatena", "Expanse": "^Expanse", "Butterfly": "^Butterfly", "Fever": "^Fever/",
    "Sonic": "^Sonic/", "008\\/": "compatible; 008/", "Sogou": "Sogou (?:web|inst|Pic|head)",
}  # fmt: skip
# A build of Android that phones have; windows of an editor and of apps made of websites, which people use.
_LEFT_OUT: Final = frozenset(("AP3A\\.240617\\.008", "Code\\/1\\.", "Fluid"))
_ADDED: Final = {
    "preview": (
        "Cardyb", "GoogleMessages/", "googlemessages/", "SkypeURIPreview", "skypeuripreview", "SkypeUriPreview",
        "Iframely", "Embedly", "vkShare", "redditbot", "Pinterestbot",
    ),
    "monitor": (
        "kube-probe", "ELB-HealthChecker", "GoogleHC", "Amazon-Route53-Health-Check",
        "Cloudflare-Healthchecks", "Cloudflare-Traffic-Manager", "Azure Traffic Manager",
        "AlwaysOn", "ReadyForRequest", "HealthCheck", "Health Check", "health-check", "healthcheck",
        "Envoy/HC", "Consul Health", "Prometheus", "Blackbox Exporter", "NodePing", "updown.io",
        "HetrixTools", "Site24x7", "site24x7", "DatadogSynthetics", "cloudflareobservatory",
        "StatusCake", "NewRelicPinger", "Datadog/Synthetics", "Zabbix", "nagios", "Nagios",
        "check_http", "Freshping", "Catchpoint", "Dynatrace", "Pingdom", "pingdom", "UptimeRobot",
        "Uptime-Kuma", "Uptimebot", "uptime", "Uptime", "Oh Dear", "Monitis", "montastic",
        "Panopta", "HAProxy", "haproxy", "LoadBalancer", "Load Balancer", "gtmetrix", "GTmetrix",
        "internetVista", "SiteUptime",
    ),
    "bot": (
        "jsdom", "GomezAgent", "Daum", "DejaClick", "CloudflareObservatory",
        "CloudflareDiagnostics", "TagInspector", "Assetnote", "Cypress/", "Splunk Synthetics",
        "splunk synthetics", "Thumbor", "PTST", "WhatCMS", "Project-Resonance", "Sparkler/", "HLB/",
        "iplabel", "Functionize", "baidu Transcoder", "VoilaBot", "google_partner", "Neustar WPM",
        "burpcollaborator", "swcd", "SWCD", "googleweblight", "0MQQBrowser", "Anonymous, Mozilla",
        "WebMoney Advisor", "XaxisSemantics", "EMail Exractor", "PritTorrent", "fwdcdn.com",
        "Episode Duration Lookup", "ImageProxy", "Convertify", "wp_is_mobile", "afengineurl",
        "POST /", "yunjiankong", "load_file(", "Widget Server", "CybaaAgent", "BrokenLinkCheck",
        "mShots", "Yandex.Translate", "DebugBear", "Nodemeter", "SnapSearch", "claude-web",
        "Mixnode", "ProxyChecker",
    ),
    "tool": (
        "Python/", "python/", "Java/", "Ruby", "libcurl", "GuzzleHttp", "Guzzle", "HttpClient",
        "http-client", "Postman", "insomnia", "k6/", "hey/", "wrk/", "ApacheBench", "reqwest",
        "hyper/", "got (", "undici", "node", "Deno/", "Bun/", "PHP/", "WinHttp", "WinHTTP",
        "winhttp", "Typhoeus", "Faraday", "RestSharp", "urlgrabber", "aria2", "Dart/",
        "Indy Library", "PowerShell", "libwww", "LWP::", "WWW-Mechanize", "Synapse", "Snoopy",
        "HTTPClient", "fasthttp", "unirest", "superagent", "Embarcadero", "Axel", "lftp", "git/",
        "pip/", "npm/", "Java1.", "fetch/", "akka-http", "ktor",
    ),
}  # fmt: skip
_OPERATOR: Final = re.compile(r"(?<!\\)[\[\](){}.*+?^$|]|\\\w")
# What stands for no text of its own in a pattern: groups, classes, what may be left out, operators.
_NO_LITERAL: Final = re.compile(
    r"\([^()]*\)[*?+]?|\[[^]]*\][*?+]?|\\[A-Za-z][*?+]?|\\?.[*?]|(?<!\\)[.+^$]"
)


class ProgramNames:
    """All names in one automaton: a plain word decides, an expression is tried where a word of it is found."""

    def __init__(self) -> None:
        # With the data, 15 ms and more than a megabyte: only for processes that classify.
        import ahocorasick
        from crawleruseragents import CRAWLER_USER_AGENTS_DATA

        names: dict[str, list[_Name]] = {}
        for kind, words in _ADDED.items():
            for word in words:
                names.setdefault(word, []).append(_Name(kind, word, None))
        for entry in CRAWLER_USER_AGENTS_DATA:
            pattern = entry["pattern"]
            if pattern not in _LEFT_OUT:
                pattern = _STRICTER.get(pattern, pattern)
                kind = _kind(entry.get("tags", ()))
                for word, expression in _words_of(pattern):
                    names.setdefault(word, []).append(_Name(kind, word, expression))
        self._automaton: Any = ahocorasick.Automaton()
        for word, meanings in names.items():
            self._automaton.add_word(word, meanings)
        self._automaton.make_automaton()

    def find(self, text: str) -> dict[str, str]:
        """Return the first name of each kind that is in the text."""
        by_kind: dict[str, str] = {}
        for _, names in self._automaton.iter(text):
            for name in names:
                if name.expression is None or name.expression.search(text):
                    by_kind.setdefault(name.kind, name.word)
        return by_kind


class _Name(NamedTuple):
    """A word that names a kind of program, if the expression (None: any text) is in the text, too."""

    kind: str
    word: str
    expression: re.Pattern[str] | None


@cache
def program_names() -> ProgramNames:
    return ProgramNames()


def _kind(tags: object) -> str:
    names = set(tags) if isinstance(tags, (list, tuple)) else set()
    if "social-preview" in names:
        return "preview"
    if "monitoring" in names:
        return "monitor"
    return "tool" if "http-library" in names else "bot"


def _words_of(pattern: str) -> list[tuple[str, re.Pattern[str] | None]]:
    """Return the words to look for: one that is the pattern, or one of each alternative and its expression."""
    if _OPERATOR.search(pattern) is None:
        return [(_unescaped(pattern), None)]
    alternatives = [pattern] if "(" in pattern else pattern.split("|")
    return [
        (max(map(_unescaped, _NO_LITERAL.split(part)), key=len), re.compile(part))
        for part in alternatives
    ]


def _unescaped(literal: str) -> str:
    return re.sub(r"\\(\W)", r"\1", literal)
