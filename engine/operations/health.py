"""Health: whether each component is ready to do its work, and why it is not."""

from typing import NamedTuple


class Component(NamedTuple):
    """A part of the engine that must work, such as `postgres` or `edge-0`. `reason` is one line for
    the operator."""

    name: str
    ready: bool
    reason: str = ""


class Health(NamedTuple):
    """The components of the whole engine."""

    components: tuple[Component, ...]

    @property
    def ready(self) -> bool:
        """Whether all components are ready. Without any, nothing has started yet: not ready."""
        return bool(self.components) and all(component.ready for component in self.components)
