"""Themes: eight looks of a page, each with colours for light and for dark screens."""

from typing import Final, NamedTuple

from engine.pages.page import ThemeName

SYSTEM_FONT: Final = "system-ui,sans-serif"
_SERIF: Final = 'Georgia,"Times New Roman",serif'
_BOOK: Final = '"Iowan Old Style","Palatino Linotype",Palatino,Georgia,serif'
_MONO: Final = "ui-monospace,Menlo,Consolas,monospace"


class Colours(NamedTuple):
    """Colours of a page on one kind of screen. The page's ground runs from `bg` to `bg2`; cards lie on it.

    `text` and `soft` are texts, `on` is text on `accent`, `line` separates and carries no meaning.
    """

    bg: str
    bg2: str
    card: str
    text: str
    soft: str
    line: str
    accent: str
    on: str

    @property
    def grounds(self) -> tuple[str, str, str]:
        """Everything that texts lie on."""
        return (self.bg, self.bg2, self.card)


class Theme(NamedTuple):
    """A look: colours for both kinds of screens, and forms that are the same on both.

    `radius` is that of links, `card_radius` of larger cards, `padding` of the sides of both; `shadow` may name
    colours as CSS variables.
    """

    light: Colours
    dark: Colours
    radius: str = "16px"
    card_radius: str = "16px"
    border: str = "1px"
    shadow: str = "none"
    font: str = SYSTEM_FONT
    heading_font: str = "var(--font)"
    heading_weight: int = 700
    face_radius: str = "50%"
    is_left: bool = False
    padding: str = "20px"


THEMES: Final[dict[ThemeName, Theme]] = {
    "garden": Theme(
        light=Colours("#f4f1e8", "#f4f1e8", "#fffdf7", "#23291f", "#5b6353", "#dcd6c4", "#2f6b45", "#ffffff"),
        dark=Colours("#131811", "#161c14", "#1d241b", "#edf1e6", "#aab4a1", "#313c2d", "#8ccb9f", "#0c2314"),
        shadow="0 1px 2px #3a3a2010,0 6px 16px #3a3a200a",
    ),
    "paper": Theme(
        light=Colours("#ffffff", "#ffffff", "#ffffff", "#111111", "#5a5a5a", "#d9d9d9", "#111111", "#ffffff"),
        dark=Colours("#0c0c0c", "#0c0c0c", "#131313", "#f4f4f4", "#a8a8a8", "#303030", "#f4f4f4", "#111111"),
        radius="10px", card_radius="10px",
    ),
    "night": Theme(
        light=Colours("#f3f6fc", "#e4ebf8", "#ffffff", "#141c2b", "#4e5a70", "#d2dcee", "#2854ae", "#ffffff"),
        dark=Colours("#0e1116", "#151a23", "#1a202b", "#eef1f6", "#a3adbd", "#2a3342", "#8ab4ff", "#0b1220"),
        radius="14px", card_radius="14px",
    ),
    "clay": Theme(
        light=Colours("#f3e3d7", "#ebcdb9", "#fff6ef", "#3b1f14", "#6d4a39", "#e2bfa9", "#97390f", "#ffffff"),
        dark=Colours("#241713", "#31201a", "#3b2820", "#fbeae0", "#d3b4a3", "#5c4033", "#ffab85", "#351305"),
        radius="22px", card_radius="22px", heading_font=_SERIF, heading_weight=600,
    ),
    "tide": Theme(
        light=Colours("#e4f1f5", "#c9e2ec", "#fbfeff", "#0d2b36", "#3f5f6b", "#b6d5e0", "#09617c", "#ffffff"),
        dark=Colours("#071b22", "#0b2731", "#0f313d", "#e4f6fb", "#9fc3cf", "#205061", "#74d5ef", "#04222c"),
        radius="999px", card_radius="28px", shadow="0 1px 2px #0d2b3612,0 8px 20px #0d2b360d",
    ),
    "bold": Theme(
        light=Colours("#ffd84d", "#ffd84d", "#ffffff", "#141414", "#4a4a3c", "#141414", "#141414", "#ffd84d"),
        dark=Colours("#151512", "#151512", "#22211c", "#fff6d6", "#cfc8ad", "#ffd84d", "#ffd84d", "#141414"),
        radius="6px", card_radius="6px", border="2px", shadow="4px 4px 0 var(--line)", heading_weight=800,
    ),
    "press": Theme(
        light=Colours("#fbfaf6", "#fbfaf6", "#fbfaf6", "#1c1a17", "#65605a", "#cfcabf", "#8c1d18", "#ffffff"),
        dark=Colours("#171512", "#171512", "#171512", "#f3eee6", "#b5ada2", "#423d36", "#f2a097", "#2b0705"),
        radius="0px", card_radius="0px", heading_font=_BOOK, heading_weight=500, face_radius="4px",
        is_left=True, padding="0px",
    ),
    "mono": Theme(
        light=Colours("#f3f7f4", "#f3f7f4", "#f3f7f4", "#0f2a1b", "#47624f", "#b4ccbd", "#0b6b3a", "#ffffff"),
        dark=Colours("#101312", "#101312", "#101312", "#d7f5e3", "#8db5a0", "#2f4a3c", "#6ff2a8", "#06150d"),
        radius="4px", card_radius="4px", font=_MONO, heading_weight=600, face_radius="4px", is_left=True,
    ),
}  # fmt: skip
