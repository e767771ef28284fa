"""How long to wait before trying again."""


def backoff_s(attempt: int, *, first_s: float, limit_s: float) -> float:
    """Exponential backoff: `first_s` for attempt 1, doubled each time, never more than `limit_s`.

    The caller multiplies by a random factor where many could retry in step.
    """
    return float(min(limit_s, first_s * 2 ** min(attempt - 1, 60)))
