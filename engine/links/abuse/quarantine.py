"""Quarantine by the engine or its operator: a warning instead of the redirect, which no member can lift."""

from datetime import datetime
from typing import Literal

import msgspec

QuarantineRule = Literal["blocklist", "lookalike", "reports", "operator"]


class EngineQuarantine(msgspec.Struct, frozen=True, kw_only=True):
    """Why and since when a link is quarantined: by a rule, or by the operator."""

    rule: QuarantineRule
    reason: str
    since: datetime
