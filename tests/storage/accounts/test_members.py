"""Teams and invitations: one contract, in memory and in Postgres."""

import asyncpg
import pytest
import trio

from engine.accounts.access import MAX_MEMBERS, Caller
from engine.accounts.member import MAX_INVITATIONS, InvitationDraft
from engine.common.errors import ConflictError, ForbiddenError, LostUpdateError, NotFoundError
from engine.links.profile import Profile, ProfileDraft
from storage.accounts.invitations import PostgresInvitationStore
from storage.accounts.passwords import PasswordHasher
from storage.bridge import in_asyncio
from storage.links.profiles import PostgresProfileStore
from tests.kit.hosted import hosted_run
from tests.kit.stores import FAST, PASSWORD, OpenDatabase, Teams, second_owner

pytestmark = pytest.mark.trio(run=hosted_run)

WAITING = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
ADA, BEN = "ada@example.com", "ben@example.com"


async def ada_with_profile(teams: Teams) -> tuple[Caller, Profile]:
    """Make Ada and her profile."""
    ada = await teams.person(ADA)
    return ada, await teams.profiles.create_profile(ada, ProfileDraft(handle="demo"))


async def roles(teams: Teams, caller: Caller, profile: Profile) -> dict[int, str]:
    page = await teams.members.list_members(caller, profile.id, 0, 100)
    return {member.user_id: member.role for member in page.items}


async def invite(teams: Teams, caller: Caller, profile: Profile, email: str = BEN) -> str:
    draft = InvitationDraft(email=email, role="editor")
    return (await teams.invitations.invite(caller, profile.id, draft))[1]


async def test_an_accepted_invitation_gives_its_role(teams: Teams) -> None:
    ada, profile = await ada_with_profile(teams)
    ben = await teams.person(BEN)
    draft = InvitationDraft(email=BEN, role="viewer")
    invitation, token = await teams.invitations.invite(ada, profile.id, draft)
    assert token.startswith("wpi_")
    assert (invitation.email, invitation.role, invitation.invited_by) == (
        BEN,
        "viewer",
        ada.user_id,
    )
    assert (invitation.expires_at - invitation.created_at).days == 7
    page = await teams.invitations.list_invitations(ada, profile.id, 0, 10)
    assert page == ([invitation], None)
    preview = await teams.invitations.preview(token)
    assert (preview.handle, preview.email, preview.role) == ("demo", BEN, "viewer")
    assert preview.inviter == (await teams.accounts.user(ada)).email

    join_result = await teams.invitations.accept(ben, token)
    assert (join_result.profile_id, join_result.role, join_result.login) == (
        profile.id,
        "viewer",
        None,
    )
    assert await roles(teams, ben, profile) == {ada.user_id: "owner", ben.user_id: "viewer"}
    assert (await teams.profiles.profile(ben, profile.id)).handle == "demo"
    member = await teams.members.member(ada, profile.id, ben.user_id)
    assert (member.email, member.role, member.version) == (BEN, "viewer", 1)
    assert (await teams.invitations.list_invitations(ada, profile.id, 0, 10)).items == []


async def test_a_token_is_good_once(teams: Teams) -> None:
    ada, profile = await ada_with_profile(teams)
    ben, eve = await teams.person(BEN), await teams.person("eve@example.com")
    token = await invite(teams, ada, profile)
    await teams.invitations.accept(ben, token)
    for caller in (ben, eve):
        with pytest.raises(ConflictError, match="used"):
            await teams.invitations.accept(caller, token)
    with pytest.raises(ConflictError, match="used"):
        await teams.invitations.preview(token)
    with pytest.raises(ConflictError, match="used"):
        await teams.invitations.accept_as_new(token, PASSWORD, "", "", "")
    for wrong in ("", "wpi_x", "ключ", "x" * 1000):
        with pytest.raises(NotFoundError):
            await teams.invitations.accept(eve, wrong)
        with pytest.raises(NotFoundError):
            await teams.invitations.preview(wrong)


async def test_members_need_no_invitation(teams: Teams) -> None:
    ada, profile = await ada_with_profile(teams)
    token = await invite(teams, ada, profile)
    with pytest.raises(ConflictError, match="member"):
        await teams.invitations.accept(ada, token)
    for email in (ADA, ADA.upper()):
        with pytest.raises(ConflictError, match="email"):
            await invite(teams, ada, profile, email)


async def test_an_invitation_can_be_withdrawn(teams: Teams) -> None:
    ada, profile = await ada_with_profile(teams)
    other = await teams.profiles.create_profile(ada, ProfileDraft(handle="other"))
    ben = await teams.person(BEN)
    token = await invite(teams, ada, profile)
    (invitation,) = (await teams.invitations.list_invitations(ada, profile.id, 0, 10)).items
    for profile_id, invitation_id in (
        (other.id, invitation.id),
        (profile.id, 12345),
        (profile.id, 2**70),
    ):
        with pytest.raises(NotFoundError):
            await teams.invitations.withdraw(ada, profile_id, invitation_id)
    await teams.invitations.withdraw(ada, profile.id, invitation.id)
    with pytest.raises(NotFoundError):
        await teams.invitations.accept(ben, token)


async def test_a_profile_has_at_most_fifty_open_invitations(teams: Teams) -> None:
    ada, profile = await ada_with_profile(teams)
    for number in range(MAX_INVITATIONS):
        await invite(teams, ada, profile, f"{number}@example.com")
    with pytest.raises(ConflictError, match="invitations"):
        await invite(teams, ada, profile)
    page = await teams.invitations.list_invitations(ada, profile.id, 0, 30)
    assert (len(page.items), page.next_after) == (30, page.items[-1].id)
    await teams.invitations.withdraw(ada, profile.id, page.items[0].id)
    await invite(teams, ada, profile)


async def test_accepted_invitations_are_not_counted(
    teams: Teams, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("invitations", "memory_members"):
        monkeypatch.setattr(f"storage.accounts.{module}.MAX_INVITATIONS", 1)
    ada, profile = await ada_with_profile(teams)
    await teams.joined(ada, profile, BEN, "viewer")
    await invite(teams, ada, profile, "eve@example.com")
    with pytest.raises(ConflictError, match="invitations"):
        await invite(teams, ada, profile, "eva@example.com")


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_expired_invitations_are_neither_counted_nor_listed(
    teams: Teams, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.accounts.invitations.MAX_INVITATIONS", 2)
    ada, profile = await ada_with_profile(teams)
    tokens = [await invite(teams, ada, profile, f"{number}@example.com") for number in range(2)]
    with pytest.raises(ConflictError, match="invitations"):
        await invite(teams, ada, profile)
    connection = await in_asyncio(asyncpg.connect, place)
    try:
        expire = "UPDATE waypost.invitations SET expires_at = now() - interval '1 s'"
        await in_asyncio(connection.execute, expire)
    finally:
        await in_asyncio(connection.close)
    with pytest.raises(ConflictError, match="expired"):
        await teams.invitations.preview(tokens[0])
    with pytest.raises(ConflictError, match="expired"):
        await teams.invitations.accept(await teams.person(BEN), tokens[0])
    await invite(teams, ada, profile, "new@example.com")
    (open_invitation,) = (await teams.invitations.list_invitations(ada, profile.id, 0, 9)).items
    assert open_invitation.email == "new@example.com"


async def test_a_new_user_gets_an_account_with_the_invited_address(teams: Teams) -> None:
    ada, profile = await ada_with_profile(teams)
    token = await invite(teams, ada, profile)
    join_result = await teams.invitations.accept_as_new(token, PASSWORD, "Ben", "curl/8", "r1")
    assert join_result.login is not None
    assert (join_result.login.user.email, join_result.login.user.name) == (BEN, "Ben")
    session_caller = await teams.sessions.find(join_result.login.token)
    assert session_caller is not None
    ben = session_caller[0]
    assert ben.tenant_id not in (ada.tenant_id, 0)
    assert await roles(teams, ben, profile) == {ada.user_id: "owner", ben.user_id: "editor"}
    assert await teams.accounts.login(BEN, PASSWORD, "") is not None
    # The new user has a tenant and can create profiles in it.
    mine = await teams.profiles.create_profile(ben, ProfileDraft(handle="bens"))
    assert mine.tenant_id == ben.tenant_id


async def test_a_user_with_an_account_must_log_in_to_accept(teams: Teams) -> None:
    ada, profile = await ada_with_profile(teams)
    ben = await teams.person(BEN)
    token = await invite(teams, ada, profile)
    with pytest.raises(ConflictError, match="log in"):
        await teams.invitations.accept_as_new(token, "something else", "", "", "")
    assert (await teams.invitations.accept(ben, token)).role == "editor"


async def test_the_role_decides_what_a_member_may_do(teams: Teams) -> None:
    ada, profile = await ada_with_profile(teams)
    editor = await teams.joined(ada, profile, BEN, "editor")
    admin = await teams.joined(ada, profile, "eve@example.com", "admin")
    stranger = await teams.person("stranger@example.com")
    draft = InvitationDraft(email="x@example.com", role="viewer")
    members, invitations = teams.members, teams.invitations
    for caller, error in ((editor, ForbiddenError), (stranger, NotFoundError)):
        with pytest.raises(error):
            await invitations.invite(caller, profile.id, draft)
        with pytest.raises(error):
            await invitations.list_invitations(caller, profile.id, 0, 10)
        with pytest.raises(error):
            await members.change_role(caller, profile.id, editor.user_id, "viewer")
        with pytest.raises(error):
            await members.remove_member(caller, profile.id, admin.user_id)
        with pytest.raises(error):
            await members.transfer(caller, profile.id, editor.user_id)
    with pytest.raises(NotFoundError):
        await members.list_members(stranger, profile.id, 0, 10)
    # An admin manages members, but makes and unmakes no owners; and a key needs its scope.
    changed = await members.change_role(admin, profile.id, editor.user_id, "viewer")
    assert (changed.role, changed.version) == ("viewer", 2)
    for attempt in (
        members.change_role(admin, profile.id, editor.user_id, "owner"),
        members.change_role(admin, profile.id, ada.user_id, "editor"),
        members.remove_member(admin, profile.id, ada.user_id),
        members.transfer(admin, profile.id, editor.user_id),
        members.change_role(ada._replace(scopes=("write",)), profile.id, editor.user_id, "admin"),
        members.remove_member(editor._replace(scopes=("write",)), profile.id, editor.user_id),
        invitations.invite(admin._replace(scopes=("read",)), profile.id, draft),
        invitations.accept(stranger._replace(scopes=("write",)), "wpi_x"),
    ):
        with pytest.raises(ForbiddenError):
            await attempt
    await members.remove_member(admin, profile.id, editor.user_id)
    assert editor.user_id not in await roles(teams, ada, profile)


async def test_an_older_version_of_a_member_is_not_changed(teams: Teams) -> None:
    ada, profile = await ada_with_profile(teams)
    ben = await teams.joined(ada, profile, BEN, "editor")
    changed = await teams.members.change_role(ada, profile.id, ben.user_id, "admin", 1)
    assert await teams.members.change_role(ada, profile.id, ben.user_id, "admin", 2) == changed
    with pytest.raises(LostUpdateError):
        await teams.members.change_role(ada, profile.id, ben.user_id, "viewer", 1)
    with pytest.raises(LostUpdateError):
        await teams.members.remove_member(ada, profile.id, ben.user_id, 1)
    for user_id in (12345, 2**70):
        with pytest.raises(NotFoundError):
            await teams.members.member(ada, profile.id, user_id)
        with pytest.raises(NotFoundError):
            await teams.members.change_role(ada, profile.id, user_id, "viewer")


async def test_every_member_may_leave_but_the_last_owner(teams: Teams) -> None:
    ada, profile = await ada_with_profile(teams)
    ben = await teams.joined(ada, profile, BEN, "viewer")
    with pytest.raises(ConflictError, match="owner"):
        await teams.members.remove_member(ada, profile.id, ada.user_id)
    with pytest.raises(ConflictError, match="owner"):
        await teams.members.change_role(ada, profile.id, ada.user_id, "admin")
    await teams.members.remove_member(ben, profile.id, ben.user_id)
    with pytest.raises(NotFoundError):
        await teams.profiles.profile(ben, profile.id)
    ben = await teams.joined(ada, profile, "ben2@example.com", "viewer")
    await teams.members.change_role(ada, profile.id, ben.user_id, "owner")
    await teams.members.remove_member(ada, profile.id, ada.user_id)
    assert await roles(teams, ben, profile) == {ben.user_id: "owner"}


async def test_a_profile_is_handed_over_at_once(teams: Teams) -> None:
    ada, profile = await ada_with_profile(teams)
    ben = await teams.joined(ada, profile, BEN, "viewer")
    with pytest.raises(ConflictError, match="yourself"):
        await teams.members.transfer(ada, profile.id, ada.user_id)
    with pytest.raises(NotFoundError):
        await teams.members.transfer(ada, profile.id, 12345)
    assert (await teams.members.transfer(ada, profile.id, ben.user_id)).role == "owner"
    assert await roles(teams, ada, profile) == {ada.user_id: "admin", ben.user_id: "owner"}
    with pytest.raises(ForbiddenError):
        await teams.members.transfer(ada, profile.id, ada.user_id)


async def test_a_full_profile_admits_no_member(teams: Teams) -> None:
    ada, profile = await ada_with_profile(teams)
    token = await invite(teams, ada, profile)
    for number in range(1, MAX_MEMBERS):
        member = await teams.joined(ada, profile, f"{number}@example.com", "viewer")
    late = await teams.person("late@example.com")
    with pytest.raises(ConflictError, match="10 members"):
        await teams.invitations.accept(late, token)
    with pytest.raises(ConflictError, match="10 members"):
        await teams.invitations.accept_as_new(token, PASSWORD, "", "", "")
    assert await teams.accounts.login(BEN, PASSWORD, "") is None  # no account was made
    await teams.members.remove_member(member, profile.id, member.user_id)
    assert (await teams.invitations.accept(late, token)).role == "editor"


async def test_of_eleven_concurrent_joins_nine_succeed(teams: Teams) -> None:
    """With the owner, the team then has ten members, in whatever order they join."""
    ada, profile = await ada_with_profile(teams)
    callers = [await teams.person(f"{number}@example.com") for number in range(11)]
    tokens = [await invite(teams, ada, profile, f"{n}@example.com") for n in range(11)]
    outcomes: list[str] = []
    ready = trio.Event()

    async def join(caller: Caller, token: str) -> None:
        await ready.wait()
        try:
            outcomes.append((await teams.invitations.accept(caller, token)).role)
        except ConflictError as error:
            outcomes.append(error.reason)

    async with trio.open_nursery() as nursery:
        for caller, token in zip(callers, tokens, strict=True):
            nursery.start_soon(join, caller, token)
        await trio.lowlevel.checkpoint()
        ready.set()
    assert sorted(outcomes)[:9] == ["editor"] * 9
    assert all("10 members" in outcome for outcome in sorted(outcomes)[9:])
    assert len(await roles(teams, ada, profile)) == MAX_MEMBERS


async def test_of_concurrent_accepts_of_an_invitation_one_succeeds(teams: Teams) -> None:
    ada, profile = await ada_with_profile(teams)
    token = await invite(teams, ada, profile)
    callers = [await teams.person(f"{number}@example.com") for number in range(5)]
    outcomes: list[str] = []

    async def join(caller: Caller) -> None:
        try:
            outcomes.append((await teams.invitations.accept(caller, token)).role)
        except ConflictError as error:
            outcomes.append(error.reason)

    async with trio.open_nursery() as nursery:
        for caller in callers:
            nursery.start_soon(join, caller)
    assert sorted(outcomes) == ["editor"] + ["was already used"] * 4


async def test_of_two_owners_leaving_at_once_one_stays(teams: Teams) -> None:
    ada, profile = await ada_with_profile(teams)
    ben = await teams.joined(ada, profile, BEN, "editor")
    await teams.members.change_role(ada, profile.id, ben.user_id, "owner")
    refusals: list[str] = []

    async def leave(caller: Caller) -> None:
        try:
            await teams.members.remove_member(caller, profile.id, caller.user_id)
        except ConflictError as error:
            refusals.append(error.reason)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(leave, ada)
        nursery.start_soon(leave, ben)
    assert len(refusals) == 1


@pytest.mark.slow
async def test_an_admin_demoted_while_waiting_for_the_lock_changes_nothing(
    open_database: OpenDatabase, database_url: str
) -> None:
    app = await open_database("waypost_app")
    ada, eve = await second_owner(database_url), await second_owner(database_url)
    profile = await PostgresProfileStore(app).create_profile(ada, ProfileDraft(handle="demo"))
    draft = InvitationDraft(email="eve@example.com", role="admin")
    invitations = PostgresInvitationStore(app, PasswordHasher(FAST), 3600)
    _, token = await invitations.invite(ada, profile.id, draft)
    await invitations.accept(eve, token)

    refusals: list[ForbiddenError] = []

    async def invite_as_eve() -> None:
        try:
            await invitations.invite(eve, profile.id, draft)
        except ForbiddenError as error:
            refusals.append(error)

    holder = await in_asyncio(asyncpg.connect, database_url)
    try:
        await in_asyncio(holder.execute, "BEGIN; SELECT FROM waypost.profiles FOR UPDATE")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(invite_as_eve)
            with trio.fail_after(10):
                while not await in_asyncio(holder.fetchval, WAITING):
                    pass
            await in_asyncio(
                holder.execute,
                f"UPDATE waypost.members SET role = 'viewer' WHERE user_id = {eve.user_id}; COMMIT",
            )
    finally:
        await in_asyncio(holder.close)
    assert len(refusals) == 1
