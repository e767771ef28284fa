"""Endpoints of users, sessions, set-up, resets, keys, members and invitations, and their dependencies."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from api.accounts.invitations import InvitationRoutes
from api.accounts.keys import KeyRoutes
from api.accounts.members import MemberRoutes
from api.accounts.recovery import RecoveryRoutes
from api.accounts.sessions import LoginFlow, SessionRoutes
from api.http.routes import Route
from api.http.shared import Shared
from engine.accounts.access import Caller
from engine.accounts.ports import (
    AccountStore,
    ApiKeyStore,
    InvitationStore,
    LoginThrottle,
    MemberStore,
    RecoveryStore,
    SessionStore,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDeps:
    """Dependencies of the endpoints. `forget_key` is called with the id of each revoked key; `is_operator`
    returns whether a caller is a user of the first tenant."""

    accounts: AccountStore
    sessions: SessionStore
    keys: ApiKeyStore
    members: MemberStore
    invitations: InvitationStore
    recovery: RecoveryStore
    login_throttle: LoginThrottle
    forget_key: Callable[[int], None]
    is_operator: Callable[[Caller], Awaitable[bool]]


def routes(deps: AccountDeps, shared: Shared) -> list[Route]:
    login_flow = LoginFlow(deps.login_throttle, shared.settings)
    return [
        *SessionRoutes(deps.accounts, deps.sessions, login_flow, deps.is_operator).routes(),
        *RecoveryRoutes(deps.recovery, login_flow, mail=bool(shared.settings.smtp_url)).routes(),
        *KeyRoutes(deps.keys, deps.forget_key, shared.now).routes(),
        *MemberRoutes(deps.members).routes(),
        *InvitationRoutes(deps.invitations, login_flow, shared.settings.console_url).routes(),
    ]
