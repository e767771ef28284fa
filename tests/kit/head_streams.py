"""Made-up bytes of visitors' connections: requests that are almost right, cheap enough for a million."""

from random import Random
from typing import Final

_METHODS: Final = (b"GET",) * 12 + (
    b"HEAD",
    b"HEAD",
    b"POST",
    b"POST",
    b"POST",
    b"OPTIONS",
    b"get",
    b"CONNECT",
    b"\r\nGET",
)
_TARGETS: Final = (
    b"/a", b"/shop/spring", b"/", b"/a?b=c", b"/a?", b"/a?b?c", b"/%C3%A9", b"/a#b", b"*", b"a",
    b"/\xc3\xa9", b"/\xd0\xbf?\xff=\xe9", b"//x/y", b"/a\"<>`{|}", b"http://other.example/y?q",
    b"HTTPS://u@other.example/y", b"http://other.example?q", b"http:///y",
    b"http://Other.Example:80", b"ftp://other.example/y", b"http://a:b:c/", b"/a\x7f", b"/a\tb",
)  # fmt: skip
_USUAL_TARGETS: Final = (*_TARGETS[:7], b"/@shop", b"/@a?b", b"/?@", b"/a/f0-1.avif")
_VERSIONS: Final = (b"HTTP/1.1",) * 16 + (
    b"HTTP/1.0",
    b"HTTP/2.0",
    b"HTTP/1.2",
    b"http/1.1",
    b"HTTP/1.1 ",
)
_LINE_ENDS: Final = (b"\r\n",) * 60 + (b"\n", b"\r", b"\r\r\n", b"\r\n ", b"\r\n\t", b" \r\n")
_BLANK_LINES: Final = (b"\r\n",) * 30 + (b"\r\n\r\n", b"\n", b"", b"\r\n\r\n\r\n")
_NAMES: Final = (
    b"User-Agent", b"user-agent", b"Referer", b"REFERER", b"Accept-Language", b"accept-languagE",
    b"X-Forwarded-For", b"x-forwarded-for", b"Cookie", b"cookie", b"Accept", b"X",
    b"Accept-Encoding", b"accept-encodinG", b"If-None-Match", b"if-none-match", b"Range", b"RANGE", b"If-Range",
)  # fmt: skip
_COOKIE: Final = b"wp_v=abcdefghijklmnopqrstuv"
_VALUES: Final = (
    b"a", b"", b"  b \t", b"8.8.8.8", b"9.9.9.9, 1.1.1.1", b"2001:db8::1",
    b"Mozilla/5.0 (X11; Linux x86_64)",
    b"https://r.example/?a=b", b"de, en;q=0.5", b"\xfcber", b"c" * 300, b"Host: x", _COOKIE, b"a=b; " + _COOKIE,
    _COOKIE + b";wp_v=x", b"\xff\xfe", b"a\x00b", b"a:b", b"X-Forwarded-For: 7.7.7.7",
    b"GET /b HTTP/1.1", b"gzip, deflate, br", b"gzip;q=1, br; q=0", b'W/"ab", "c"',
    b"bytes=0-9",
)  # fmt: skip
_HOSTS: Final = (b"Host: a",) * 24 + (
    b"host:links.example:8080", b"HOST: [::1]:80", b"Host: a\r\nHost: a", b"Host: a\r\nhost: b",
    b"Host:", b"Host: a b", b"Host: a, b", b"Host : a", b"Host: A.Example. \t", b"X: no host",
    b"Host: \xc3\xa9", b"Hosts: a", b"X-Host: a", b"Host:\ta",
)  # fmt: skip
_OTHERS: Final = (
    b"Connection: close", b"Connection: keep-alive", b"Connection: Upgrade\r\nUpgrade: h2c",
    b"Connection: close, Upgrade\r\nUpgrade: x", b"Upgrade: websocket", b"Sec-Purpose: prefetch",
    b"PURPOSE: prefetch", b"X-Purpose: preview", b"Repurpose: prefetch", b"X: urpose: prefetch",
    b"purposE: Prefetch", b"x-MOZ: prefetch", b"X-Mozilla: prefetch", b"SEC-PURPOSE:prerender",
    b"Purpose: navigate", b"Expect: 100-continue", b"Proxy-Connection: close", b"Keep-Alive: 5",
    b"TE: trailers",
)  # fmt: skip
_HINTS: Final = (
    b'Sec-CH-UA: "Brave";v="131"', b'sec-ch-ua: "Chromium";v="1", "Opera" ; v="2" ', b"SEC-CH-UA:",
    b'sec-ch-ua-x: "Brave";v="1"', b'Sec-CH-UA-Platform: "Android"',
    b'sec-ch-ua-platform:"Chrome OS" \t', b"sec-CH-ua-platform: Linux", b"Sec-CH-UA-Mobile: ?1 ",
    b"sec-ch-ua-mobile: ?0", b'Sec-CH-UA: "HeadlessChrome";v="1"\r\nSec-CH-UA: "Vivaldi";v="1"',
)  # fmt: skip
_FORM: Final = b"Content-Type: application/x-www-form-urlencoded\r\n"
_FRAMING: Final = (
    _FORM + b"Content-Length: %d", _FORM + b"Content-Length: %d", _FORM.lower() + b"content-length: %d",
    _FORM + b"Content-Length: 5000", _FORM + b"Content-Length: 0%d", _FORM + b"Transfer-Encoding: chunked",
    b"Content-Length: %d", b"content-length:%d", b"Content-Length: 0", b"Content-Length: 00",
    b"Content-Length: +%d", b"Content-Length: %d, %d", b"Content-Length: %d\r\nContent-Length: %d",
    b"Transfer-Encoding: chunked", b"transfer-encoding: Chunked",
    b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: identity",
    b"Transfer-Encoding: chunked\r\nContent-Length: %d", b"Transfer-Encoding : chunked",
    b"Transfer-Encoding:\tchunked",
)  # fmt: skip
_BLOCKS: Final = (
    b"\r\n",
    b"\r\n\r\n",
    b"X-Forwarded-For: 8.8.8.8\r\n",
    b"User-Agent: forged\r\n",
    b"a",
    b"0\r\n",
)
_JUNK: Final = (
    b"\r\n",
    b"\r",
    b"\n",
    b"\r\n\r\n",
    b" ",
    b":",
    b"\x00",
    b"\xff",
    b"GET / HTTP/1.1",
    b"\t",
)


def stream(random: Random) -> bytes:
    """Return the bytes that one connection's client sends: mostly one to four requests, mostly good."""
    data = b"".join([_message(random) for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4)))])
    if random.random() < 0.15:
        for _ in range(random.choice((1, 1, 1, 2, 4))):
            place = random.randrange(len(data) + 1)
            drop = random.choice((0, 0, 1, 1, 2, 40))
            data = data[:place] + random.choice((b"", *_JUNK)) + data[place + drop :]
    return data


def places(random: Random, data: bytes) -> list[int]:
    """Return places to cut the bytes at: any, or where clients and proxies begin anew, as it seems."""
    kind = random.random()
    if kind < 0.1 and (place := data.rfind(b"GET")) > 0:
        return [place]
    if kind < 0.5:
        return [random.randrange(len(data) + 1) for _ in range(random.randrange(1, 4))]
    cuts, place = [], data.find(b"\r\n\r\n")
    while place >= 0:
        cuts.append(place + 4)
        place = data.find(b"\r\n\r\n", place + 4)
    return cuts


def _message(random: Random) -> bytes:
    usual = random.random() < 0.6  # but for its fields, and perhaps a body
    fields = [_HOSTS[0] if usual else random.choice(_HOSTS)]
    names, values = random.choices(_NAMES, k=random.randrange(5)), random.choices(_VALUES, k=4)
    fields += [b"%b: %b" % field for field in zip(names, values, strict=False)]
    if random.random() < 0.2:
        fields.append(random.choice(_OTHERS))
    if random.random() < 0.2:
        fields += random.choices(_HINTS, k=random.randrange(1, 5))
    body, is_form = b"", random.random() < 0.06
    if is_form:
        body = b"".join(random.choices(_BLOCKS, k=random.randrange(1, 6)))
        fields.append((_FORM + b"Content-Length: %d") % len(body))
    elif random.random() < 0.2:
        body = b"".join(random.choices(_BLOCKS, k=random.randrange(6)))
        framing = random.choice(_FRAMING)
        fields.append(framing.replace(b"%d", b"%d" % len(body)))
        if b"hunked" in framing:
            body = _chunked(random, body)
    random.shuffle(fields)
    method, version = random.choice(_METHODS), random.choice(_VERSIONS)
    line = b"%b %b %b" % (method, random.choice(_TARGETS), version)
    if usual:
        method = b"POST" if is_form else b"GET"
        line = b"%b %b HTTP/1.1" % (method, random.choice(_USUAL_TARGETS))
        return b"\r\n".join((line, *fields, b"", body))
    head = b"".join([part + random.choice(_LINE_ENDS) for part in (line, *fields)])
    return head + random.choice(_BLANK_LINES) + body


def _chunked(random: Random, body: bytes) -> bytes:
    chunks = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    trailers = random.choice((b"", b"X-Forwarded-For: 8.8.8.8\r\n", b"Host: b\r\n", b"X: y\r\n"))
    return chunks + b"0\r\n" + trailers + b"\r\n"
