"""The target policy in use: the operator's settings, and the blocklists as they are at the moment."""

from engine.links.domain import host_of_url
from engine.links.targets.lookalikes import Lookalikes
from engine.links.targets.target_policy import TargetPolicy
from engine.operations.metrics import Sample
from engine.operations.settings import Settings
from storage.links.abuse.blocklist_file import BlocklistFile


class PolicySource:
    """The policy in `current`; refresh() reads the lists that have changed."""

    def __init__(self, settings: Settings) -> None:
        self._file = BlocklistFile(settings.blocklist)
        own = {host_of_url(settings.visitors_url), host_of_url(settings.console_url)}
        own |= set(settings.protected_hosts.split(","))
        self.current = TargetPolicy(
            shorteners=settings.chained_shorteners,  # type: ignore[arg-type]  # one of its values
            lookalikes=settings.lookalike_hosts,  # type: ignore[arg-type]  # one of its values
            names=Lookalikes(own - {""}),
        )

    async def refresh(self) -> None:
        await self._file.refresh()
        lists = (self._file.current,)
        if lists != self.current.blocklists:
            self.current = self.current.with_blocklists(lists)

    async def read(self) -> TargetPolicy:
        """Return the policy with the lists as they are now."""
        await self.refresh()
        return self.current

    def samples(self) -> list[Sample]:
        return self._file.samples()
