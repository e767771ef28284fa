"""Style of a page: one text with the theme's colours and the rules of the blocks that it has."""

import re
from collections.abc import Collection
from functools import lru_cache
from importlib import resources
from typing import Final

from engine.common.colour import is_colour
from engine.pages.page import ProfilePage
from engine.pages.palette import Palettes
from engine.pages.themes import THEMES, Colours, Theme

_FOLDER: Final = resources.files("engine.pages").joinpath("styles")
_COMMENT: Final = re.compile(r"/\*.*?\*/", re.DOTALL)
# The order of the rules of one weight: what is special stands behind what it is a kind of.
_ORDER: Final = (
    "base", "icon", "face", "bio", "social", "act", "fill", "link", "badge", "button", "centre",
    "feature", "heading", "text", "prose", "image", "caption", "gallery", "gallery-1", "gallery-2",
    "gallery-3", "gallery-4", "gallery-5", "gallery-6", "repository", "play", "video", "audio",
    "contact", "event", "until", "divider", "product", "faq", "qr", "email_form", "wide",
)  # fmt: skip
_PLAIN: Final = frozenset({"gallery-1", "gallery-2"})  # need no rules of their own
_SHORT_NAMES: Final = {
    "accent": "a", "bg": "b", "card": "c", "bg2": "d", "bw": "e", "font": "f", "head": "h", "face": "i",
    "line": "l", "mx": "m", "align": "n", "on": "o", "rc": "q", "r": "r", "soft": "s", "text": "t",
    "hw": "w", "pad": "p", "sh": "x",
}  # fmt: skip
_VARIABLE: Final = re.compile(r"--([a-z][a-z0-9]*)(?=[:,)])")
_THEMES_WITH_RULES: Final = frozenset({"night", "bold", "press", "mono"})
# Colours of programming languages, as GitHub's Linguist has them: the dot of a repository.
LANGUAGE_COLOURS: Final = {
    "C": "#555555", "C#": "#178600", "C++": "#f34b7d", "CSS": "#663399", "Clojure": "#db5855",
    "Dart": "#00b4ab", "Elixir": "#6e4a7e", "Elm": "#60b5cc", "Erlang": "#b83998", "Go": "#00add8",
    "HTML": "#e34c26", "Haskell": "#5e5086", "Java": "#b07219", "JavaScript": "#f1e05a",
    "Julia": "#a270ba", "Jupyter Notebook": "#da5b0b", "Kotlin": "#a97bff", "Lua": "#000080",
    "OCaml": "#ef7a08", "PHP": "#4f5d95", "Perl": "#0298c3", "Python": "#3572a5", "R": "#198ce7",
    "Ruby": "#701516", "Rust": "#dea584", "Scala": "#c22d40", "Shell": "#89e051", "Swift": "#f05138",
    "TypeScript": "#3178c6", "Vue": "#41b883", "Zig": "#ec915c",
}  # fmt: skip
_LANGUAGE_NUMBERS: Final = {name: number for number, name in enumerate(LANGUAGE_COLOURS)}


def language_class(language: str) -> str:
    """Return the class of a programming language's dot; empty if it has no colour of its own."""
    number = _LANGUAGE_NUMBERS.get(language)
    return "" if number is None else f"l{number}"


def style_of(
    page: ProfilePage,
    palettes: Palettes,
    parts: Collection[str],
    languages: Collection[str] = (),
) -> str:
    """Return the style. `parts` are names of files in styles/, `languages` those of shown repositories."""
    theme = THEMES[page.theme]
    used = {"base", *parts} - _PLAIN
    texts = [_root(page, theme, palettes), *(_file(name) for name in _ORDER if name in used)]
    texts += [
        f".facts .{language_class(name)}{{background:{LANGUAGE_COLOURS[name]}}}"
        for name in sorted(languages)
        if name in LANGUAGE_COLOURS
    ]
    if page.theme in _THEMES_WITH_RULES:
        texts.append(_file(f"theme-{page.theme}"))
    return _VARIABLE.sub(lambda match: f"--{_SHORT_NAMES[match[1]]}", "".join(texts))


def _root(page: ProfilePage, theme: Theme, palettes: Palettes) -> str:
    forms = (
        f"--font:{theme.font};--head:{theme.heading_font};--hw:{theme.heading_weight};--r:{theme.radius};"
        f"--rc:{theme.card_radius};--bw:{theme.border};--sh:{theme.shadow};--face:{theme.face_radius};"
        f"--align:{'start' if theme.is_left else 'center'};--mx:{'0' if theme.is_left else 'auto'};"
        f"--pad:{theme.padding}"
    )
    first = palettes.dark if page.scheme == "dark" else palettes.light
    schemes = "light dark" if page.scheme == "auto" else page.scheme
    text = f":root{{color-scheme:{schemes};{_variables(first)};{forms}}}"
    if page.scheme == "auto":
        text += f"@media(prefers-color-scheme:dark){{:root{{{_variables(palettes.dark)}}}}}"
    return text


def _variables(colours: Colours) -> str:
    values = colours._asdict()
    if not all(map(is_colour, values.values())):
        raise ValueError("a palette has only colours such as #2f6b45")
    return ";".join(f"--{name}:{value}" for name, value in values.items())


@lru_cache(maxsize=64)
def _file(name: str) -> str:
    """Return the rules of a file without comments and line ends."""
    text = _FOLDER.joinpath(f"{name}.css").read_text(encoding="utf-8")
    return "".join(line.strip() for line in _COMMENT.sub("", text).splitlines()).replace(";}", "}")
