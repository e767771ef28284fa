"""Connections to Postgres outside of a pool, for migrations, inspection and verification."""

from typing import Final

import asyncpg

from engine.common.errors import SettingsError, UnavailableError

CONNECT_S: Final = 5.0


async def connect(url: str, application: str) -> "asyncpg.Connection[asyncpg.Record]":
    """Connect, on asyncio. Raises UnavailableError, and SettingsError if the driver refuses the URL.

    A pooler may be in between: set what a statement needs with SET LOCAL, in its transaction.
    """
    try:
        return await asyncpg.connect(
            url,
            timeout=CONNECT_S,
            statement_cache_size=0,
            server_settings={"application_name": application},
        )
    except (asyncpg.ClientConfigurationError, ValueError, OverflowError) as error:
        # The text may repeat a part of the URL, and with it of the password.
        raise SettingsError(
            f"DATABASE_URL is refused by the driver ({type(error).__name__}): its form is "
            "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        ) from None
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        reason = str(error) or type(error).__name__
        raise UnavailableError(f"Postgres does not answer: {reason}") from error
