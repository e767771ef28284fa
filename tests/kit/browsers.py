"""Logged-in members over the twins: calls by cookie and CSRF token, as a browser makes them."""

from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any

from engine.accounts.access import Caller
from tests.kit.consoles import PASSWORD, Answered, Console


@dataclass
class Browser:
    """A browser with the session of one user."""

    console: Console
    cookie: str
    csrf: str
    user_id: str

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answered:
        sent = {"Cookie": self.cookie, "X_CSRF_Token": self.csrf} | headers
        return await self.console.call(method, path, body, key="", **sent)


def browser_of(console: Console, answered: Answered) -> Browser:
    """Return the browser that keeps the cookie and the CSRF token of a login's response."""
    assert answered.status == 201, answered.body
    cookie = cookie_of(answered)
    user_id = answered.json["user"]["id"]
    return Browser(console, f"waypost_session={cookie.value}", answered.json["csrf_token"], user_id)


def cookie_of(answered: Answered) -> Any:
    """Return the session's cookie as the response sets it."""
    return SimpleCookie(answered.headers["Set-Cookie"])["waypost_session"]


async def logged_in(console: Console, email: str = "one@example.com") -> Browser:
    body = {"email": email, "password": PASSWORD}
    return browser_of(console, await console.call("POST", "/v1/session", body, key=""))


async def person(console: Console, number: int) -> Browser:
    """Create an account, log it in and return its browser."""
    email = f"p{number}@example.com"
    console.accounts.add(Caller(number, number), email, PASSWORD)
    # Logins are limited by address, and all tests come from one.
    body = {"email": email, "password": PASSWORD}
    console.limits.flush()
    return browser_of(console, await console.call("POST", "/v1/session", body, key=""))
