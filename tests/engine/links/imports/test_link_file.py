"""Files of other services: every link, title, tag, date and total arrives.

Each sample is made by hand from the columns that the service's code or documentation has, which is named.
"""

from datetime import UTC, datetime
from typing import Any

import pytest

from engine.common.errors import InvalidError
from engine.links.imports.values import derived_slug
from tests.kit.link_files import link_file, outcomes

SPRING, AUTUMN = "https://example.com/spring?a=1", "https://example.com/autumn"
MAY = datetime(2026, 5, 1, 10, 0, tzinfo=UTC)
MAY_SECONDS = int(MAY.timestamp())

# dubinc/dub, apps/web/lib/zod/schemas/links.ts (exportLinksColumns): labels of the columns.
DUB = f"""Short link,Destination URL,Clicks,Created at,Updated at,Tags
https://dub.sh/spring,{SPRING},41,2026-05-01T10:00:00.000Z,2026-05-02T10:00:00.000Z,"sale, print"
https://dub.sh/autumn,{AUTUMN},0,2026-05-01T10:00:00.000Z,2026-05-02T10:00:00.000Z,
"""
# dub.co/docs/api-reference, GET /links.
DUB_JSON = f"""[
  {{"id": "clx1", "domain": "dub.sh", "key": "spring", "url": "{SPRING}", "archived": false, "expiresAt": null,
    "password": null, "title": "Spring", "comments": "for the fair",
    "tags": [{{"id": "t", "name": "sale"}}, {{"id": "u", "name": "print"}}],
    "shortLink": "https://dub.sh/spring", "clicks": 41, "utm_source": "bio",
    "createdAt": "2026-05-01T10:00:00.000Z"}},
  {{"key": "autumn", "url": "{AUTUMN}", "archived": true, "tags": [], "clicks": 0}}
]"""
# shlinkio/shlink-web-component, src/short-urls/data/index.ts (ExportableShortUrl).
SHLINK_CLIENT = f"""createdAt,title,shortUrl,domain,shortCode,longUrl,tags,visits
2026-05-01T10:00:00+00:00,Spring,https://s.test/spring,s.test,spring,{SPRING},sale|print,41
2026-05-01T10:00:00+00:00,,https://s.test/autumn,s.test,autumn,{AUTUMN},,0
"""
# shlink.io/documentation/advanced/importing-short-urls: the standard CSV; and GET /rest/v3/short-urls.
SHLINK_SERVER = f"""longUrl;tags;domain;shortCode;title
{SPRING};sale|print;;spring;Spring
{AUTUMN};;;autumn;
"""
SHLINK_JSON = f"""{{"shortUrls": {{"data": [
  {{"shortCode": "spring", "shortUrl": "https://s.test/spring", "longUrl": "{SPRING}", "title": "Spring",
    "dateCreated": "2026-05-01T10:00:00+00:00", "tags": ["sale", "print"], "crawlable": true,
    "forwardQuery": true,
    "visitsSummary": {{"total": 41, "nonBots": 40, "bots": 1}},
    "meta": {{"validSince": null, "validUntil": "2027-05-01T10:00:00+00:00", "maxVisits": 100}}}},
  {{"shortCode": "autumn", "longUrl": "{AUTUMN}", "tags": [], "visitsSummary": {{"total": 0}}, "meta": {{}}}}
], "pagination": {{"currentPage": 1}}}}}}"""
# YOURLS, includes/functions-install.php (the table yourls_url), and its API's `stats`.
YOURLS = f"""keyword,url,title,timestamp,ip,clicks
spring,{SPRING},Spring,2026-05-01 10:00:00,192.0.2.1,41
autumn,{AUTUMN},,2026-05-01 10:00:00,192.0.2.1,0
"""
YOURLS_JSON = f"""{{"links": {{
  "link_1": {{"shorturl": "https://y.test/spring", "url": "{SPRING}", "title": "Spring",
    "timestamp": "2026-05-01 10:00:00", "ip": "192.0.2.1", "clicks": "41"}},
  "link_2": {{"shorturl": "https://y.test/autumn", "url": "{AUTUMN}", "title": "", "clicks": "0"}}
}}, "stats": {{"total_links": "2"}}, "statusCode": 200}}"""
# docs.kutt.it, GET /links.
KUTT = f"""{{"limit": 10, "skip": 0, "total": 2, "data": [
  {{"address": "spring", "banned": false, "created_at": "2026-05-01T10:00:00.000Z", "id": "1",
    "target": "{SPRING}",
    "link": "https://kutt.it/spring", "password": false, "description": "Spring", "visit_count": 41}},
  {{"address": "autumn", "banned": false, "id": "2", "target": "{AUTUMN}", "password": false, "visit_count": 0}}
]}}"""
# dev.bitly.com, GET /v4/groups/{{group_guid}}/bitlinks; and its fields as columns.
BITLY_JSON = f"""{{"links": [
  {{"created_at": "2026-05-01T10:00:00+0000", "id": "bit.ly/3xYz", "link": "https://bit.ly/3xYz",
    "custom_bitlinks": ["https://bit.ly/spring", "https://bit.ly/more"], "long_url": "{SPRING}",
    "title": "Spring", "archived": false, "tags": ["sale", "print"]}},
  {{"id": "bit.ly/autumn", "link": "https://bit.ly/autumn", "custom_bitlinks": [],
    "long_url": "{AUTUMN}", "tags": []}}
], "pagination": {{}}}}"""
BITLY = f"""title,long_url,link,created_at,tags,total_clicks
Spring,{SPRING},bit.ly/spring,2026-05-01T10:00:00+0000,"sale, print",41
,{AUTUMN},bit.ly/autumn,2026-05-01T10:00:00+0000,,0
"""
# URLR/urlr-docs, docs/migration/bitly.md: the columns of an export from Bitly's pages.
BITLY_PAGES = f"""Link,Custom Link,Destination URL
bit.ly/3xYz,bit.ly/spring,{SPRING}
bit.ly/autumn,,{AUTUMN}
"""
# developers.rebrandly.com/docs/link-entity.
REBRANDLY = f"""[{{"id": "f", "title": "Spring", "slashtag": "spring", "destination": "{SPRING}",
  "shortUrl": "rebrand.ly/spring", "domain": {{"id": "8", "fullName": "rebrand.ly"}}, "clicks": 41,
  "createdAt": "2026-05-01T10:00:00.000Z", "favourite": false, "forwardParameters": true}},
 {{"slashtag": "autumn", "destination": "{AUTUMN}", "clicks": 0}}]"""
# developers.short.io, GET /api/links.
SHORT_IO = f"""{{"count": 2, "links": [
  {{"id": "lnk_1", "originalURL": "{SPRING}", "path": "spring", "title": "Spring", "tags": ["sale", "print"],
    "createdAt": "2026-05-01T10:00:00.000Z", "clicksLimit": 100, "expiresAt": null, "archived": false,
    "shortURL": "https://s.test/spring", "secureShortURL": "https://s.test/spring"}},
  {{"originalURL": "{AUTUMN}", "path": "autumn", "tags": []}}
]}}"""
# tiny.cc/tiny/csv_examples, and tinycc.com/tiny/api-docs-v3/read-urls.
TINY_CC = f'"url";"short_url";"note"\n"{SPRING}";"tiny.cc/spring";"Funny"\n"{AUTUMN}";"tiny.cc/autumn";""\n'
TINY_CC_JSON = f"""{{"error": {{"code": 0, "message": ""}}, "urls": [
  {{"hash": "spring", "long_url": "{SPRING}", "short_url": "tiny.cc/spring", "total_clicks": 41,
    "unique_clicks": 9,
    "last_visit": null, "protected": false, "archived": false, "note": "Funny", "expiration_date": null,
    "max_clicks": 0, "tags": ["sale", "print"], "links": {{"qr_small": "x"}}}},
  {{"hash": "autumn", "long_url": "{AUTUMN}", "total_clicks": 0, "tags": []}}]}}"""
# LinkStackOrg/LinkStack, app/Http/Controllers/UserController.php (exportAll): rows of the table links.
LINKSTACK = f"""{{"name": "Ada", "littlelink_name": "ada", "links": [
  {{"id": 1, "link": "{SPRING}", "title": "Spring", "button_id": 2, "click_number": 41, "order": 0,
    "up_link": "no",
    "created_at": "2026-05-01T10:00:00.000000Z"}},
  {{"id": 2, "link": "{AUTUMN}", "title": "Autumn", "button_id": 2, "click_number": 0, "order": 1}}
]}}"""
# Linktree's page data (__NEXT_DATA__, props.pageProps.links) and its data download.
LINKTREE = f"""{{"username": "ada", "links": [
  {{"id": 1, "type": "CLASSIC", "title": "Spring", "position": 0, "url": "{SPRING}"}},
  {{"id": 2, "type": "CLASSIC", "title": "Autumn", "position": 1, "url": "{AUTUMN}"}}]}}"""
# learn.microsoft.com, "Netscape Bookmark File Format"; ADD_DATE and TAGS as Firefox writes them.
BOOKMARKS = f"""<!DOCTYPE NETSCAPE-Bookmark-file-1>
<META HTTP-EQUIV="Content-Type" CONTENT="text/html; charset=UTF-8">
<TITLE>Bookmarks</TITLE>
<H1>Bookmarks Menu</H1>
<DL><p>
    <DT><H3 ADD_DATE="1">Shop</H3>
    <DL><p>
        <DT><A HREF="{SPRING.replace("&", "&amp;")}" ADD_DATE="{MAY_SECONDS}"
           TAGS="sale,print">Spring &amp; more</A>
        <DD>For the fair
    </DL><p>
    <DT><A HREF="{AUTUMN}">Autumn</A>
</DL><p>
"""

TAGS = ("sale", "print")
LABELLED = {"tags": TAGS, "opening_clicks": 41}


@pytest.mark.parametrize(
    ("text", "title", "is_dated", "fields"),
    [
        (DUB, "", True, LABELLED),
        (DUB_JSON, "Spring", True, {**LABELLED, "notes": "for the fair", "paused": False}),
        (SHLINK_CLIENT, "Spring", True, LABELLED),
        (SHLINK_SERVER, "Spring", False, {"tags": TAGS}),
        (SHLINK_JSON, "Spring", True,
         {**LABELLED, "noindex": False, "passthrough": True, "click_limit": 100,
          "active_until": MAY.replace(year=2027)}),
        (YOURLS, "Spring", True, {"opening_clicks": 41}),
        (YOURLS_JSON, "Spring", True, {"opening_clicks": 41}),
        (KUTT, "Spring", True, {"opening_clicks": 41, "paused": False}),
        (BITLY, "Spring", True, LABELLED),
        (BITLY_PAGES, "", False, {}),
        (BITLY_JSON, "Spring", True, {"tags": TAGS, "paused": False}),
        (REBRANDLY, "Spring", True, {"opening_clicks": 41, "passthrough": True}),
        (SHORT_IO, "Spring", True, {"tags": TAGS, "click_limit": 100, "paused": False}),
        (TINY_CC, "", False, {"notes": "Funny"}),
        (TINY_CC_JSON, "", False, {**LABELLED, "notes": "Funny", "paused": False}),
        (LINKSTACK, "Spring", True, {"opening_clicks": 41, "position": 0}),
        (LINKTREE, "Spring", False, {"position": 0}),
        (BOOKMARKS, "Spring & more", True, {"tags": TAGS, "folder": "Shop", "notes": "For the fair"}),
    ],
    ids=["dub", "dub_json", "shlink_client", "shlink_server", "shlink_json", "yourls", "yourls_json", "kutt",
         "bitly", "bitly_pages", "bitly_json", "rebrandly", "short_io", "tiny_cc", "tiny_cc_json", "linkstack",
         "linktree", "bookmarks"],
)  # fmt: skip
def test_every_link_title_tag_date_and_total_of_another_service_arrives(
    text: str, title: str, is_dated: bool, fields: dict[str, Any]
) -> None:
    rows, rejects = outcomes(text, handle="ada")
    assert rejects == {}
    spring, autumn = rows
    has_slugs = text not in (LINKSTACK, LINKTREE, BOOKMARKS)
    assert spring.slug == ("spring" if has_slugs else derived_slug(SPRING))
    assert autumn.slug == ("autumn" if has_slugs else derived_slug(AUTUMN))
    assert (spring.target, autumn.target) == (SPRING, AUTUMN)
    assert (spring.handle, spring.title) == ("ada", title)
    assert spring.created_at == (MAY if is_dated else None)
    assert {name: spring.fields.get(name) for name in fields} == fields
    assert (autumn.fields.get("tags", ()), autumn.fields.get("opening_clicks", 0)) == ((), 0)
    assert autumn.fields.get("paused", False) == (text == DUB_JSON)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]
)
@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_encoding_line_ends_and_delimiter_are_found(
    encoding: str, end: str, delimiter: str
) -> None:
    lines = (("slug", "target", "title"), ("a", SPRING, '"Grün\nund €"'), ("b", AUTUMN, "x"))
    text = end.join(delimiter.join(fields).replace("\n", end) for fields in lines)
    source = link_file(text.encode(encoding), "ada")
    records = list(source.records())
    assert [record.values["slug"] for record in records] == ["a", "b"]
    assert records[0].values["title"] == f"Grün{end}und €"
    assert [record.line for record in records] == [2, 4]


@pytest.mark.parametrize(
    ("lines", "slugs", "bad"),
    [
        (["a,https://a.test/,ok", 'b,https://b.test/,"open', "c,https://c.test/,ok"], ["a", "c"], {3}),
        (['a,https://a.test/,5" wide', "b,https://b.test/,ok"], ["a", "b"], set()),
        (['a,https://a.test/,"x"y', "b,https://b.test/,ok"], ["b"], {2}),
        (["a,https://a.test/,x,y", "b,https://b.test/,ok"], ["b"], {2}),
        (["a", "", "b,https://b.test/"], ["b"], {2}),
        (['a,https://a.test/,"open', "b,https://b.test/,ok", 'c,https://c.test/,x"'], ["b", "c"], {2}),
    ],
)  # fmt: skip
def test_damage_stays_in_its_line(lines: list[str], slugs: list[str], bad: set[int]) -> None:
    rows, rejects = outcomes("\n".join(["slug,target,title", *lines]), "ada")
    assert [row.slug for row in rows] == slugs
    assert rejects.keys() == bad


def test_columns_may_be_named_and_those_without_a_meaning_are_told() -> None:
    text = f"Wohin;Kurz;Farbe\n{SPRING};spring;red\n"
    with pytest.raises(InvalidError, match="tags: is to be read from 'Worte'"):
        link_file(text, "ada", {"target": "Wohin", "tags": "Worte"})
    source = link_file(text, "ada", {"target": "Wohin", "slug": "kurz"})
    assert source.unread == ["Farbe"]
    assert next(source.records()).values == {"target": SPRING, "slug": "spring"}


def test_files_without_a_header_have_the_columns_in_their_order() -> None:
    rows, _ = outcomes(f"ada,a,{SPRING},A\nbob,b,{AUTUMN}")
    assert [(row.handle, row.slug, row.title) for row in rows] == [
        ("ada", "a", "A"),
        ("bob", "b", ""),
    ]
    rows, _ = outcomes(f"a,{SPRING}\nb,{AUTUMN},B", "ada")
    assert [(row.handle, row.slug, row.title) for row in rows] == [
        ("ada", "a", ""),
        ("ada", "b", "B"),
    ]


def test_rows_of_one_address_name_each_other() -> None:
    rows, _ = outcomes(f"slug,target\nA,{SPRING}\nb,{SPRING}\na,{AUTUMN}\n", "ada")
    assert [(row.line, row.other_line) for row in rows] == [(2, 4), (3, 0), (4, 2)]


@pytest.mark.parametrize(
    ("column", "text", "reason"),
    [
        ("created_at", "03/04/2026", "must be a time"),
        ("created_at", "1" * 40, "must be a time"),
        ("opening_clicks", "many", "must be a whole number"),
        ("opening_clicks", "-1", "must be 0 to"),
        ("paused", "perhaps", "must be true or false"),
        ("password", "hunter2", "is not imported"),
        ("password_hash", "$argon2id$v=19$m=999999,t=3,p=4$c29tZXNhbHRoZXJl$" + "a" * 43, "at most 64 MiB"),
        ("rules", "[{}", "must be a list of rules"),
        ("tags", "x" * 51, "must have at most 50"),
        ("click_limit", "-4", "must be 1 to"),
        ("title", "\ufffd", "U+FFFD"),
        ("handle", "bob", "must be ada or empty"),
    ],
)  # fmt: skip
def test_a_bad_value_is_a_reject_that_names_its_column(column: str, text: str, reason: str) -> None:
    rows, rejects = outcomes(f'slug,target,{column}\na,{SPRING},"{text}"\n', "ada")
    assert rows == []
    assert rejects[2].startswith(column)
    assert reason in rejects[2]


def test_a_guard_against_formulas_is_taken_off() -> None:
    rows, _ = outcomes(
        f"slug,target,title\na,{SPRING},'=1+1\nb,{AUTUMN},''=1\nc,{AUTUMN}/c,'tis\n", "ada"
    )
    assert [row.title for row in rows] == ["=1+1", "'=1", "'tis"]
