"""Texts of visitors' requests, cleaned so that they may be kept."""


def printable(text: str) -> str:
    """Without control characters and others that cannot be shown; white space becomes a blank."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else " " if one.isspace() else "" for one in text)
