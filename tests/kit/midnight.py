"""Midnight in UTC: Postgres' own clock says which day it is, so a test that counts days must not run across."""

import time

DAY_S = 86_400
MARGIN_S = 30.0


def wait_past_midnight(margin_s: float = MARGIN_S) -> None:
    """Sleep until after midnight if it is less than `margin_s` away."""
    left_s = DAY_S - time.time() % DAY_S
    if left_s < margin_s:
        time.sleep(left_s + 0.1)
