"""`/v1/profiles`: the profiles that the caller is a member of."""

from quart import Response

from api.announce import announce
from api.auth import caller
from api.bodies import ProfileAnswer, answer, draft_of, empty, json_object, utc
from api.etag import etag, guarded_delete, guarded_write, read_answer
from api.query import nothing_else, page_answer, page_asked, path_id
from api.routes import Route
from engine import name
from engine.ports import Announcer, ProfileStore
from engine.profile import Change, Profile, ProfileDraft, checked


class ProfileRoutes:
    def __init__(self, store: ProfileStore, announcer: Announcer, visitors_url: str) -> None:
        self._store = store
        self._announcer = announcer
        self._visitors_url = visitors_url

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v1/profiles", self.create),
            Route("GET", "/v1/profiles", self.page),
            Route("GET", "/v1/profiles/<profile_id>", self.read),
            Route("PATCH", "/v1/profiles/<profile_id>", self.update),
            Route("DELETE", "/v1/profiles/<profile_id>", self.delete),
        ]

    async def create(self) -> Response:
        nothing_else()
        draft = draft_of(ProfileDraft, await json_object(), checked, {})
        profile = await self._store.create_profile(caller(), draft)
        await announce(self._announcer, [Change(profile.id, profile.version)])
        headers = {"Location": f"/v1/profiles/{profile.id}", "ETag": etag(profile.version)}
        return answer(self._shown(profile), 201, headers)

    async def page(self) -> Response:
        after, limit = page_asked()
        items = await self._store.list_profiles(caller(), after, limit)
        return answer(page_answer(items, self._shown))

    async def read(self, profile_id: str) -> Response:
        nothing_else()
        profile = await self._store.profile(caller(), path_id(profile_id))
        return read_answer(self._shown(profile), profile.version)

    async def update(self, profile_id: str) -> Response:
        """Change the fields given, keep the others."""
        nothing_else()
        id_ = path_id(profile_id)
        body = await json_object()

        async def read() -> Profile:
            return await self._store.profile(caller(), id_)

        async def write(stored: Profile, if_version: int) -> Profile:
            base = {"handle": stored.handle, "title": stored.title}
            draft = draft_of(ProfileDraft, body, checked, base)
            return await self._store.update_profile(caller(), id_, draft, if_version)

        profile = await guarded_write(read, write)
        await announce(self._announcer, [Change(profile.id, profile.version)])
        return answer(self._shown(profile), headers={"ETag": etag(profile.version)})

    async def delete(self, profile_id: str) -> Response:
        nothing_else()
        id_ = path_id(profile_id)

        async def read() -> Profile:
            return await self._store.profile(caller(), id_)

        async def delete(if_version: int | None) -> Profile:
            return await self._store.delete_profile(caller(), id_, if_version)

        profile = await guarded_delete(read, delete)
        await announce(self._announcer, [Change(profile.id, profile.version, deleted=True)])
        return empty(204)

    def _shown(self, profile: Profile) -> ProfileAnswer:
        return ProfileAnswer(
            id=str(profile.id),
            handle=profile.handle,
            title=profile.title,
            url=self._visitors_url + name.encode_path("@" + profile.handle).decode("ascii"),
            version=profile.version,
            created_at=utc(profile.created_at),
            updated_at=utc(profile.updated_at),
        )
