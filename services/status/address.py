"""The addresses that `si-stream status` is given.

Invariant: one with a user or a password in it is refused and never shown, since what is asked is
shown, and needs neither.
"""

from __future__ import annotations

from si_stream.errors import SettingsError
from si_stream.settings.source import require_address


def checked(option: str, url: str | None) -> str | None:
    """The address, where it is one.

    Raises:
        SettingsError: it is not, or has more in it than an address.
    """
    if url is None:
        return None
    try:
        require_address(url)
    except ValueError as error:
        shown = "" if {*"@?#"} & {*url} else f" {url!r}"
        raise SettingsError(f"{option}{shown} {error}") from None
    return url.rstrip("/")
