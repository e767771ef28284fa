"""Health: whether each component can do its work, and why not."""

from typing import NamedTuple


class Component(NamedTuple):
    """One thing that must work, such as `postgres` or `edge-0`. `reason` is one line for a
    person."""

    name: str
    ready: bool
    reason: str = ""


class Health(NamedTuple):
    components: tuple[Component, ...]

    @property
    def ready(self) -> bool:
        """Whether all are. With no component at all, nothing has started yet: not ready."""
        return bool(self.components) and all(component.ready for component in self.components)
