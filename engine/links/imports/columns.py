"""Columns of links in files: which of a file's columns is which of ours.

A name is compared without its case, blanks and signs: `Long URL`, `long_url` and `longUrl` are one. Known are
the names of Dub, Shlink, YOURLS, Kutt, Bitly, Rebrandly, Short.io, tiny.cc, LinkStack and Linktree, and plain
words.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from engine.common.errors import FieldError, InvalidError

COLUMNS: Final = (
    "handle", "slug", "target", "title", "status", "kind", "passthrough", "click_id", "short", "external_id",
    "tags", "folder", "notes", "hidden", "position", "paused", "paused_reason", "quarantined",
    "quarantine_reason", "active_from", "active_until", "click_limit", "fallback_target", "web_target",
    "extra_path", "rules", "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "noindex",
    "preview", "password", "password_hash", "opening_clicks", "created_at",
)  # fmt: skip
# Those that a file of Waypost has in common with none of another service.
_OWN: Final = frozenset({"slug", "target"})
# By column, the names that other files have for it: the first that is there is read. Of a slug's, the next one
# is read in rows where that is empty, as a link has a short URL where it has no back-half of its own.
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "target": (
        "target", "destinationurl", "destination", "longurl", "originalurl", "originallink", "targeturl",
        "url", "href", "link",
    ),
    "slug": (
        "slug", "path", "shortcode", "keyword", "address", "slashtag", "customlink", "custombitlinks",
        "backhalf", "custombackhalf", "key", "customhash", "hash", "shortid", "alias", "code", "shortlink",
        "shorturl", "bitlink", "link",
    ),
    "title": ("title", "linktitle", "pagetitle", "name", "label", "text", "description"),
    "notes": ("notes", "note", "comments", "comment", "remark", "description"),
    "tags": ("tags", "tag", "labels", "tagnames"),
    "folder": ("folder", "foldername"),
    "created_at": (
        "createdat", "created", "datecreated", "createddate", "createdate", "creationdate", "createdon",
        "timestamp", "adddate", "ctime", "date",
    ),
    "opening_clicks": (
        "openingclicks", "totalclicks", "clicks", "visits", "visitcount", "visitssummarytotal", "visitscount",
        "clicknumber", "clickcount", "engagements", "totalengagements", "hits",
    ),
    "active_from": ("activefrom", "validsince", "metavalidsince"),
    "active_until": (
        "activeuntil", "expiresat", "expirationdate", "expirein", "validuntil", "metavaliduntil", "expires",
    ),
    "click_limit": ("clicklimit", "clickslimit", "maxvisits", "metamaxvisits", "maxclicks"),
    "fallback_target": ("fallbacktarget", "expiredurl", "expirationurl"),
    "web_target": ("webtarget",), "extra_path": ("extrapath", "forwardpath"),
    "paused": ("paused", "archived", "disabled", "banned", "isarchived"),
    "active": ("active", "enabled", "isactive"),
    "passthrough": ("passthrough", "forwardparameters", "forwardquery", "passqueryparams"),
    "crawlable": ("crawlable", "doindex"),
    "status": ("status",),
    "position": ("position", "order"),
    "external_id": ("externalid",),
    "password_hash": ("passwordhash",),
    "password": ("password", "protected"),
    "utm_source": ("utmsource",), "utm_medium": ("utmmedium",), "utm_campaign": ("utmcampaign",),
    "utm_term": ("utmterm",), "utm_content": ("utmcontent",),
    "click_id": ("clickid",), "paused_reason": ("pausedreason",),
    "quarantined": ("quarantined",), "quarantine_reason": ("quarantinereason",),
    **{name: (name,) for name in ("handle", "kind", "hidden", "rules", "noindex", "short", "preview")},
}  # fmt: skip
# Names that are read in files of ours only: a service's column of such a name means something else.
_OWN_ONLY: Final = frozenset({"short", "status", "kind"})


class ColumnMap:
    """Meaning of the columns of one file. `unread` are those that mean nothing to us."""

    def __init__(self, names: Iterable[str], given: Mapping[str, str] | None = None) -> None:
        """`given` has the file's names by our columns; it goes before what the names say."""
        names = [name for name in names if name.strip()]
        by_key = {_key(name): name for name in reversed(names)}
        self.is_own = set(names) >= _OWN
        self.sources: dict[str, str] = {}
        self._slugs: list[str] = []
        used: set[str] = set()
        for column, name in (given or {}).items():
            self.sources[column] = by_key.get(_key(name), name)
            used.add(self.sources[column])
        for column, aliases in _NAMES.items():
            if column in self.sources or (column in _OWN_ONLY and not self.is_own):
                continue
            sources = [by_key[a] for a in aliases if by_key.get(a, "") not in {"", *used}]
            if sources:
                self.sources[column] = sources[0]
                used.add(sources[0])
            if column == "slug" and not self.is_own:
                self._slugs = sources[1:]
                used.update(self._slugs)
        self.unread = [name for name in names if name not in used]

    def texts(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return the texts of a record by our columns; those that are empty are left out."""
        texts = {
            column: text for column, name in self.sources.items() if (text := values.get(name, ""))
        }
        for name in self._slugs:
            if "slug" not in texts and (text := values.get(name, "")):
                texts["slug"] = text
        return texts


def require_columns(names: Iterable[str], given: Mapping[str, str]) -> None:
    """Raise InvalidError unless a header has all names that are given by our columns."""
    keys = set(map(_key, names))
    errors = [
        FieldError(column, f"is to be read from {name[:64]!r}, which the header does not have")
        for column, name in given.items()
        if _key(name) not in keys
    ]
    if errors:
        raise InvalidError(errors)


def _key(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())
