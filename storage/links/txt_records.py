"""TXT records, as the resolvers of this machine know them."""

from typing import Final

import dns.asyncresolver
import dns.exception
import dns.resolver

from engine.links.domain import TxtAnswer
from storage.bridge import in_asyncio

LOOKUP_S: Final = 5.0
MAX_TEXTS: Final = 50


class DnsTxtRecords:
    """TxtRecords over DNS. `resolver` None: the one that /etc/resolv.conf describes."""

    def __init__(self, resolver: dns.asyncresolver.Resolver | None = None) -> None:
        self._resolver = resolver

    async def texts(self, name: str) -> TxtAnswer:
        return await in_asyncio(self._texts, name)

    async def _texts(self, name: str) -> TxtAnswer:
        try:
            if self._resolver is None:
                self._resolver = dns.asyncresolver.Resolver()
            answer = await self._resolver.resolve(
                f"{name}.", "TXT", lifetime=LOOKUP_S, search=False, raise_on_no_answer=False
            )
        except dns.resolver.NXDOMAIN:
            return TxtAnswer()
        except (dns.exception.DNSException, OSError) as error:
            return TxtAnswer(error=f"DNS could not be asked for {name}: {type(error).__name__}")
        records = answer.rrset or ()
        # Sorted, as the records of a name have no order.
        texts = sorted(b"".join(record.strings).decode("utf-8", "replace") for record in records)
        return TxtAnswer(tuple(texts[:MAX_TEXTS]))
