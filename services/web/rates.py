"""How often one client may ask: a token bucket for each address.

Invariant: of an address that asks no more often than it may, no request is refused; never more
than `LIMIT` addresses are remembered.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

LIMIT = 10_000
BURST_SECONDS = 2.0  # of the rate that may be asked for at once


class Rates:
    """Args:
    per_second: what a client may ask for on average; at once, that of `BURST_SECONDS`, and one.
    now: seconds of a clock that never goes back.
    """

    def __init__(self, per_second: float, now: Callable[[], float] = time.monotonic) -> None:
        self.per_second = per_second
        self.burst = max(1.0, per_second * BURST_SECONDS)
        self._now = now
        self._full_at: OrderedDict[str, float] = OrderedDict()
        """By client, when it may ask for a whole burst again; who has asked last stands last."""

    def seconds_to_wait(self, address: str) -> float:
        """Until the client may ask; 0 where it may now, which is then counted."""
        client, now = _client(address), self._now()
        full_at = max(now, self._full_at.get(client, now))
        missing = (full_at - now) * self.per_second
        if missing > self.burst - 1 + 1e-9:
            return (missing - (self.burst - 1)) / self.per_second
        self._full_at[client] = full_at + 1 / self.per_second
        self._full_at.move_to_end(client)
        if len(self._full_at) > LIMIT:
            self._full_at.popitem(last=False)
        return 0.0


def _client(address: str) -> str:
    """An IPv6 customer has a whole network of 64 bits, and would have as many buckets.

    >>> _client("192.0.2.7"), _client("2001:db8::7:1"), _client("")
    ('192.0.2.7', '2001:db8::', '')
    """
    if ":" not in address:
        return address
    try:
        whole = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if whole.ipv4_mapped is not None:
        return str(whole.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(whole) >> 64 << 64))
