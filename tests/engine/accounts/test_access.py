"""Access: each scope is one of its own, and each action takes its role and its scope."""

import pytest

from engine.accounts.access import ROLES, SCOPES, Action, Caller, require, require_scope
from engine.common.errors import ForbiddenError


@pytest.mark.parametrize("scope", SCOPES)
def test_no_scope_includes_another(scope: str) -> None:
    caller = Caller(1, 2, key_id=3, scopes=(scope,))  # type: ignore[arg-type]
    for required in SCOPES:
        if required == scope:
            require_scope(caller, required)
        else:
            with pytest.raises(ForbiddenError, match=required):
                require_scope(caller, required)


@pytest.mark.parametrize("action", Action)
def test_an_action_takes_its_role_and_its_scope(action: Action) -> None:
    _, roles, scope = action.value
    others = tuple(other for other in SCOPES if other != scope)
    for role in ROLES:
        for scopes, enough in ((SCOPES, True), ((scope,), True), (others, False)):
            caller = Caller(1, 2, key_id=3, scopes=scopes)
            if enough and role in roles:
                require(caller, role, action)
            else:
                with pytest.raises(ForbiddenError):
                    require(caller, role, action)
