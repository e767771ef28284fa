"""Texts of visitors' requests, cleaned so that they may be kept."""


def printable(text: str) -> str:
    """Return the text without control and other unprintable characters; white space becomes a blank."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else " " if one.isspace() else "" for one in text)
