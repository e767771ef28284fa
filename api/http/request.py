"""Request class of the console's app."""

from typing import Any, cast

from quart_trio.wrappers import TrioRequest

from api.http.protocol import Scope, require_whole_body


class ConsoleRequest(TrioRequest):
    """Request whose body is read whole or not at all."""

    async def get_data(self, *args: Any, **kwargs: Any) -> Any:
        """Return the body. Raises BadRequest if it was malformed or cut short."""
        data = await super().get_data(*args, **kwargs)
        require_whole_body(cast(Scope, self.scope))
        return data
