"""A batch: whole journal frames in a row, as they are shipped and folded."""

from typing import NamedTuple


class Batch(NamedTuple):
    """Clicks `first` to `last` of a journal, both included; `payload` is their frames' bytes."""

    first: int
    last: int
    payload: bytes
