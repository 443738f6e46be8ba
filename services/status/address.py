"""The addresses that `si-stream status` is given.

Invariant: one with a user or a password in it is refused and never shown, since what is asked is
shown, and needs neither.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from si_stream.errors import SettingsError


def checked(option: str, url: str | None) -> str | None:
    """The address, where it is one.

    Raises:
        SettingsError: it is not, or has more in it than an address.
    """
    if url is None:
        return None
    write = "write it as http://HOST:PORT"
    if "@" in url:
        raise SettingsError(f"{option} has a user in it, and nothing asks for one; {write}")
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # of a port or brackets
        is_address = False
    if not is_address:
        raise SettingsError(f"{option} {url!r} is no address of a web server; {write}")
    if "?" in url or "#" in url:
        raise SettingsError(f"{option} has more behind its address than a path; {write}")
    return url.rstrip("/")
