"""`/v1/profiles/{id}/digest`: the caller's own digests of a profile by mail."""

from typing import Final

from quart import Response

from api.http.auth import current_caller
from api.http.bodies import draft_of, json_object, json_response
from api.http.query import path_id, refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route
from engine.common.errors import ConflictError
from engine.stats.dashboards.digest import DigestSettings, validate_digest_settings
from engine.stats.dashboards.ports import DigestSettingsStore


class DigestRoutes:
    """Routes of digest settings. `mail`: whether the engine sends mail."""

    def __init__(self, store: DigestSettingsStore, *, mail: bool) -> None:
        self._store = store
        self._mail = mail

    def routes(self) -> list[Route]:
        path = "/v1/profiles/<profile_id>/digest"
        return [
            Route("GET", path, self.read, _READ),
            Route("PUT", path, self.store, _STORE),
        ]

    async def read(self, profile_id: str) -> Response:
        refuse_parameters()
        return json_response(await self._store.settings(current_caller(), path_id(profile_id)))

    async def store(self, profile_id: str) -> Response:
        """Store the settings that the body has; what it leaves out is off."""
        refuse_parameters()
        id_ = path_id(profile_id)
        settings = draft_of(DigestSettings, await json_object(), validate_digest_settings, {})
        if (settings.weekly or settings.monthly) and not self._mail:
            raise ConflictError("mail", "must be set up by the operator: this engine sends no mail")
        return json_response(await self._store.store_settings(current_caller(), id_, settings))


_EXAMPLE: Final = {"weekly": True, "monthly": False, "tz": "Europe/Rome"}
_READ: Final = Doc(
    id="readDigestSettings",
    summary="Read which digests of a profile the caller gets",
    tag="Statistics",
    description="Each member has their own settings. `tz`: the zone of their weeks and months.",
    responses={200: ResponseDoc("The settings.", DigestSettings, _EXAMPLE)},
)
_STORE: Final = Doc(
    id="storeDigestSettings",
    summary="Choose which digests of a profile the caller gets",
    tag="Statistics",
    description="By mail to the caller's address, on Mondays and on the first of a month, after noon of UTC. "
    "What is left out is off. 409 if the engine sends no mail. A key needs the scope write. Webhooks get the "
    "events `digest.weekly` and `digest.monthly`, whatever members choose.",
    body=DigestSettings,
    body_example=_EXAMPLE,
    responses={200: ResponseDoc("The settings.", DigestSettings, _EXAMPLE)},
    errors=(409,),
)
