"""The address that a process listens on."""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket

from si_stream.errors import SettingsError

logger = logging.getLogger(__name__)
BACKLOG = 2048


def listen(
    host: str, port: int, host_setting: str = "--host", port_setting: str = "--port"
) -> socket.socket:
    """A socket that accepts connections.

    Args:
        host_setting: the flag or setting that a person changes to listen elsewhere.

    Raises:
        SettingsError: the port is in use, or the address is not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"port {port} of {host} is in use; stop what listens there, or take another one "
                f"with {port_setting} (0 takes any free one)"
            ) from None
        raise SettingsError(
            f"cannot listen on {host} port {port}: {error.strerror}; "
            f"choose an address of this machine with {host_setting} and a port with {port_setting}"
        ) from None


def url_of(listener: socket.socket, *, tls: bool = False) -> str:
    host, port = listener.getsockname()[:2]
    scheme = "https" if tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def warn_of_open_door(setting: str, host: str, *, is_open: bool) -> None:
    """Say so where other machines reach what nobody needs a token for."""
    if is_open and not is_loopback(host):
        logger.warning(
            "whoever reaches %s may ask: set %s_file, or let none but those who may reach it",
            host,
            setting,
        )


def is_loopback(host: str) -> bool:
    """
    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "example.org")]
    [True, True, True, False, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
