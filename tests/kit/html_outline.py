"""Outline of an HTML document: its elements, their attributes, and its texts."""

from collections import Counter
from html.parser import HTMLParser
from typing import Final, NamedTuple

# Elements without an end.
_VOID: Final = frozenset(
    {"meta", "link", "source", "img", "br", "hr", "input", "path", "rect", "circle", "line"}
)


class Element(NamedTuple):
    """An element: its name, its attributes, and the text directly in it."""

    name: str
    attributes: dict[str, str]


class Outline(HTMLParser):
    """The elements of a document, in their order, and all its texts."""

    def __init__(self, document: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self.texts: list[str] = []
        self.others: list[str] = []  # comments, declarations and processing instructions
        self._open: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(document.decode("utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"{tag} has an attribute twice: {names}"
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open[-1] == "li" and tag != "li":
            self._open.pop()  # an item may end by the next one
        if not self._open or self._open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def handle_decl(self, decl: str) -> None:
        self.others.append(decl)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)

    def unknown_decl(self, data: str) -> None:
        self.others.append(data)

    @property
    def shape(self) -> Counter[tuple[str, tuple[str, ...]]]:
        """How often each element with each set of attributes stands in the document."""
        return Counter((e.name, tuple(sorted(e.attributes))) for e in self.elements)

    def all(self, name: str, **attributes: str) -> list[Element]:
        """Return the elements of a name that have these values of attributes."""
        return [
            e
            for e in self.elements
            if e.name == name and attributes.items() <= e.attributes.items()
        ]
