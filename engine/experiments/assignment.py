"""Which variant of an experiment a visitor gets, and why.

Pure, and the same in every process: deploying, restarting or adding edges moves nobody. What makes a
visitor the same one again is a key that is never stored: `hash_key`, made with a secret of the
experiment, or the value of a first-party cookie where the experiment asks for one.
"""

from hashlib import blake2b
from typing import Final, Literal, NamedTuple

from engine.experiments.bucketing import SLOTS, slot
from engine.experiments.experiment import Experiment

AssignmentReason = Literal[
    "assigned", "forced", "decided", "state", "early", "late", "bot", "country", "device",
    "language", "namespace", "coverage",
]  # fmt: skip
# Two of many visitors may well have one key: they get the same, and are counted by other means. Hashing goes
# over its digits one by one, so each byte more costs a tenth of a microsecond a visit.
KEY_BYTES: Final = 4


class AssignmentContext(NamedTuple):
    """What is known of a request. `namespace_key` is made with the namespace's secret, as `key` is with
    the experiment's; `language` is the primary subtag of the first language accepted, in small letters.

    `forced` is the variant asked for by `?wp_variant=`; the caller sets it for the team only.
    """

    hash_key: str
    at_ms: int
    namespace_key: str = ""
    country: str = ""
    device: str = ""
    language: str = ""
    bot: bool = False
    forced: str | None = None


class Assignment(NamedTuple):
    """`variant` is an index, or None: the visitor gets what there is without the experiment.

    `exposed` says that the visitor counts. `bucket` is the position that was hashed, None where it
    did not come to that.
    """

    variant: int | None
    reason: AssignmentReason
    exposed: bool = False
    bucket: float | None = None


_NOBODY: Final = {
    reason: Assignment(None, reason)
    for reason in (
        "state", "early", "late", "bot", "country", "device", "language", "namespace",
    )
}  # fmt: skip


def hash_key(secret: bytes, visitor: bytes) -> str:
    """8 hexadecimal digits for whatever tells a visitor from others. `secret` has 1 to 64 bytes.

    With another secret per experiment, keys of one visitor in two experiments cannot be linked.
    """
    return blake2b(visitor, key=secret, digest_size=KEY_BYTES).hexdigest()


def assign(experiment: Experiment, context: AssignmentContext) -> Assignment:
    """What this visitor gets, and why; `explain` says it in words. Raises nothing.

    The order of the rules is that of the reasons: a preview of the team goes through in every state but
    the last, a decided experiment serves its winner to everybody, and all else is for those who may count.
    """
    state = experiment.state
    if context.forced is not None and state != "archived":
        for number, variant in enumerate(experiment.variants):
            if variant.name == context.forced:
                return Assignment(number, "forced")
    if state != "running":
        if state == "decided":
            return Assignment(experiment.winner, "decided")
        return _NOBODY["state"]
    excluded = _exclusion(experiment, context)
    if excluded is not None:
        return _NOBODY[excluded]
    prepared = experiment.prepared
    bucket = slot(prepared.seed_state, context.hash_key) / SLOTS
    index = prepared.ranges.find(bucket)
    if index is None:
        return Assignment(None, "coverage", False, bucket)
    return Assignment(index, "assigned", True, bucket)


def _exclusion(experiment: Experiment, context: AssignmentContext) -> AssignmentReason | None:
    """Return why schedule, targeting or namespace of a running experiment exclude a visitor; None if not."""
    at_ms = context.at_ms
    if experiment.starts_at_ms is not None and at_ms < experiment.starts_at_ms:
        return "early"
    if experiment.ends_at_ms is not None and at_ms >= experiment.ends_at_ms:
        return "late"
    if context.bot:
        return "bot"
    namespace, countries, devices, languages = experiment.prepared[2:]
    if countries and context.country not in countries:
        return "country"
    if devices and context.device not in devices:
        return "device"
    if languages and context.language not in languages:
        return "language"
    if namespace is not None:
        group_state, low, high = namespace
        if not low <= slot(group_state, context.namespace_key) / SLOTS < high:
            return "namespace"
    return None


def explain(experiment: Experiment, context: AssignmentContext) -> str:
    """Why `assign` answers what it does, in one sentence."""
    found = assign(experiment, context)
    name = "" if found.variant is None else experiment.variants[found.variant].name
    targeting = experiment.targeting
    reasons: dict[AssignmentReason, str] = {
        "assigned": f"is in variant {name} by position {found.bucket} of phase {experiment.phase}",
        "forced": f"gets variant {name} as asked for, and does not count",
        "decided": f"gets variant {name}, which won, and does not count",
        "state": f"is not in it: the experiment is {experiment.state}",
        "early": "is not in it: the experiment has not begun",
        "late": "is not in it: the experiment has ended by its schedule",
        "bot": "is not in it: bots never are",
        "country": f"is not in it: country {context.country or 'unknown'} is not one of "
        + ", ".join(targeting.countries),
        "device": f"is not in it: device {context.device or 'unknown'} is not one of "
        + ", ".join(targeting.devices),
        "language": f"is not in it: language {context.language or 'unknown'} is not one of "
        + ", ".join(targeting.languages),
        "namespace": "is not in it: another part of namespace "
        f"{experiment.namespace.id if experiment.namespace else ''} has this visitor",
        "coverage": f"is not in it: position {found.bucket} is outside what coverage "
        f"{experiment.coverage:g} takes",
    }
    return f"The visitor {reasons[found.reason]}."
