"""Assignment: the variant of an experiment that a visitor gets, and why.

It is pure and equal in every process: deploying, restarting or adding edges moves no visitor. A visitor is
recognised by a key that is never stored: `hash_key`, made with a secret of the experiment, or the value of a
first-party cookie where the experiment uses one.
"""

from hashlib import blake2b
from typing import Final, Literal, NamedTuple

from engine.experiments.bucketing import SLOTS, slot
from engine.experiments.experiment import Experiment

AssignmentReason = Literal[
    "assigned", "forced", "decided", "state", "early", "late", "bot", "country", "device",
    "language", "namespace", "coverage",
]  # fmt: skip
# Two of many visitors may share a key: they get the same variant, and are counted by their pseudonyms. Hashing
# takes digit after digit, so each byte more costs a tenth of a microsecond a visit.
KEY_BYTES: Final = 4


class AssignmentContext(NamedTuple):
    """The facts of a request that assignment uses.

    `namespace_key` is made with the namespace's secret, `hash_key` with the experiment's; `language` is the
    primary subtag of the first accepted language, in small letters. `forced` is the variant of a preview
    (`?wp_variant=`), which only members of the profile can request.
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
    """The assignment of one visitor.

    `variant` is an index, or None: the visitor gets the link or page without the experiment. `exposed` says
    that the visitor counts. `bucket` is the visitor's hash bucket, None where an earlier rule decided.
    """

    variant: int | None
    reason: AssignmentReason
    exposed: bool = False
    bucket: float | None = None


_EXCLUDED: Final = {
    reason: Assignment(None, reason)
    for reason in (
        "state", "early", "late", "bot", "country", "device", "language", "namespace",
    )
}  # fmt: skip


def hash_key(secret: bytes, visitor: bytes) -> str:
    """Return 8 hexadecimal digits that stand for a visitor's identity. `secret` has 1 to 64 bytes.

    Each experiment has a secret of its own, so keys of one visitor in two experiments cannot be linked.
    """
    return blake2b(visitor, key=secret, digest_size=KEY_BYTES).hexdigest()


def assign(experiment: Experiment, context: AssignmentContext) -> Assignment:
    """Return the visitor's assignment and its reason; explain() says it in words. Raises nothing.

    The rules apply in the order of the reasons: a preview works in every state except archived, a decided
    experiment serves its winner to every visitor, and the others concern visitors who may count.
    """
    state = experiment.state
    if context.forced is not None and state != "archived":
        for number, variant in enumerate(experiment.variants):
            if variant.name == context.forced:
                return Assignment(number, "forced")
    if state != "running":
        if state == "decided":
            return Assignment(experiment.winner, "decided")
        return _EXCLUDED["state"]
    excluded = _exclusion(experiment, context)
    if excluded is not None:
        return _EXCLUDED[excluded]
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
    """Return one sentence that explains what assign() returns."""
    assignment = assign(experiment, context)
    number = assignment.variant
    name = "" if number is None else experiment.variants[number].name
    targeting = experiment.targeting
    reasons: dict[AssignmentReason, str] = {
        "assigned": f"is in variant {name} by hash bucket {assignment.bucket} of phase {experiment.phase}",
        "forced": f"gets variant {name} by preview, and does not count",
        "decided": f"gets variant {name}, which won, and does not count",
        "state": f"is not included: the experiment is {experiment.state}",
        "early": "is not included: the experiment has not begun",
        "late": "is not included: the experiment has ended by its schedule",
        "bot": "is not included: bots never are",
        "country": f"is not included: country {context.country or 'unknown'} is not one of "
        + ", ".join(targeting.countries),
        "device": f"is not included: device {context.device or 'unknown'} is not one of "
        + ", ".join(targeting.devices),
        "language": f"is not included: language {context.language or 'unknown'} is not one of "
        + ", ".join(targeting.languages),
        "namespace": "is not included: the visitor belongs to another part of namespace "
        f"{experiment.namespace.id if experiment.namespace else ''}",
        "coverage": f"is not included: hash bucket {assignment.bucket} is outside the coverage "
        f"of {experiment.coverage:g}",
    }
    return f"The visitor {reasons[assignment.reason]}."
