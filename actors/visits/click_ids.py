"""Click ids as one edge makes them: the parameter by which a target reports a conversion of a click."""

from engine.clicks.click_id import PARAMETER, ClickId, ClickIdCipher


class ClickIds:
    """Shared by all profile actors of an edge. `cipher` is None until the installation's secret is known;
    `missing` counts the clicks that got no id before that."""

    def __init__(self) -> None:
        self.cipher: ClickIdCipher | None = None
        self.missing = 0

    def parameter(self, click: ClickId) -> bytes:
        """Return the query parameter with the encrypted id; empty while the secret is unknown."""
        if self.cipher is None:
            self.missing += 1
            return b""
        return PARAMETER + self.cipher.seal(click)
