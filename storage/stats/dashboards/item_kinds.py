"""Kinds of items that members keep for dashboards: their structs, their words and their bounds."""

from typing import Final, Generic, NamedTuple, TypeVar

import msgspec

from engine.common.errors import ConflictError
from engine.stats.dashboards.goal import MAX_GOALS, Goal, GoalDraft
from engine.stats.dashboards.item import (
    MAX_ANNOTATIONS,
    MAX_SAVED_QUESTIONS,
    Annotation,
    AnnotationDraft,
    SavedQuestion,
    SavedQuestionDraft,
)

Draft = TypeVar("Draft", bound=msgspec.Struct)
Item = TypeVar("Item", bound=msgspec.Struct)


class ItemKind(NamedTuple, Generic[Draft, Item]):
    """A kind of items. `table` is the name of its table and of its file of queries."""

    table: str
    noun: str
    limit: int
    draft: type[Draft]
    item: type[Item]

    @property
    def limit_error(self) -> ConflictError:
        reason = f"must be at most {self.limit} in a profile; delete one first"
        return ConflictError(self.table, reason)

    def values(self, draft_or_item: Draft | Item) -> tuple[str, ...]:
        """Return the values of the draft's fields, in their order, of a draft or an item."""
        return tuple(getattr(draft_or_item, name) for name in self.draft.__struct_fields__)


ANNOTATION: Final = ItemKind(
    "annotations", "annotation", MAX_ANNOTATIONS, AnnotationDraft, Annotation
)
GOAL: Final = ItemKind("goals", "goal", MAX_GOALS, GoalDraft, Goal)
SAVED_QUESTION: Final = ItemKind(
    "saved_questions", "saved question", MAX_SAVED_QUESTIONS, SavedQuestionDraft, SavedQuestion
)
