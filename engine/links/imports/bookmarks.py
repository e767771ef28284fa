"""Bookmarks as browsers export them: the HTML that Netscape began with, with folders, dates, tags and notes."""

from collections.abc import Iterator
from html.parser import HTMLParser

from engine.links.imports.row_error import Record
from engine.links.imports.text_file import Line


def is_bookmarks(first_line: str) -> bool:
    """Return whether a file's first line is that of a browser's bookmarks."""
    return first_line.lstrip().upper().startswith(("<!DOCTYPE NETSCAPE-BOOKMARK", "<DL", "<HTML"))


def bookmark_records(lines: Iterator[Line]) -> Iterator[Record]:
    """Yield a record for each bookmark. `folder` is the way to it, such as `Bar / News`."""
    parser = _BookmarkParser()
    for number, text in lines:
        if text is None:
            yield Record(number, {}, "is longer than any bookmark")
            continue
        parser.line = number
        parser.feed(text)
        yield from parser.take()
    parser.close()
    parser.finish()
    yield from parser.take()


class _BookmarkParser(HTMLParser):
    """Collects bookmarks. `line` is the number of the line that is fed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.line = 0
        self._ready: list[Record] = []
        self._folders: list[str] = []
        self._next_folder = ""
        self._bookmark: dict[str, str] | None = None
        self._bookmark_line = 0
        self._text_of = ""

    def take(self) -> list[Record]:
        """Return the bookmarks that are complete, once."""
        ready, self._ready = self._ready, []
        return ready

    def finish(self) -> None:
        """End the bookmark at hand: a note may follow it up to the next element."""
        if self._bookmark is not None:
            values = {name: text.strip() for name, text in self._bookmark.items()}
            self._ready.append(Record(self._bookmark_line, values))
        self._bookmark = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("dt", "h3", "dl", "a"):
            self.finish()
        self._text_of = {"a": "title", "h3": "folder", "dd": "notes"}.get(tag, "")
        if tag == "h3":
            self._next_folder = ""
        elif tag == "dl":
            self._folders.append(self._next_folder.strip())
            self._next_folder = ""
        elif tag == "a":
            given = {name: value or "" for name, value in attrs}
            self._bookmark_line = self.line
            self._bookmark = {
                "target": given.get("href", ""),
                "title": "",
                "notes": "",
                "folder": " / ".join(filter(None, self._folders)),
                "created_at": given.get("add_date", ""),
                "tags": given.get("tags", ""),
                "slug": given.get("shortcuturl", ""),
            }

    def handle_endtag(self, tag: str) -> None:
        self._text_of = ""
        if tag == "dl":
            self.finish()
            if self._folders:
                self._folders.pop()

    def handle_data(self, data: str) -> None:
        if self._text_of == "folder":
            self._next_folder += data
        elif self._text_of and self._bookmark is not None:
            self._bookmark[self._text_of] += data
