"""The certificate that a port speaks TLS with.

Invariant: what is served was tried first, by a handshake with itself, so it is whole, its key is
the right one and its time has not run out. A renewed one is taken up for the connections to come;
where it does not work, the one before goes on to be served.
"""

from __future__ import annotations

import logging
import os
import re
import ssl
import time
from pathlib import Path
from typing import NamedTuple

from services.web.renewal import Looks, looks_of
from si_stream.errors import SettingsError
from si_stream.settings.web import WebOptions

logger = logging.getLogger(__name__)
DAY_SECONDS = 24 * 3600.0
SOON_SECONDS = 14 * DAY_SECONDS


class Pair(NamedTuple):
    """The files of a certificate, with the chain above it, and of its private key (PEM)."""

    certificate: Path
    key: Path


class Certificate:
    """Args:
    setting: how the keys of its two settings begin, as "predictor.tls".

    Attributes:
        context: of the server; the renewed certificate is loaded into it.
        ends_seconds: Unix time at which it runs out.

    Raises:
        SettingsError: it cannot be read, does not fit its key, or has run out.
    """

    def __init__(self, setting: str, pair: Pair) -> None:
        self._setting = setting
        self._pair = pair
        self._warned_seconds = 0.0
        self._seen = self._looks()
        self.context, self.ends_seconds = self._tried()
        self._warn_if_it_ends_soon()

    def renew(self) -> bool:
        """Take up what has changed on disk; whether there was something that works."""
        self._warn_if_it_ends_soon()
        seen = self._looks()
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            _, self.ends_seconds = self._tried()
            self.context.load_cert_chain(*self._pair, password=_no_password)
        except (SettingsError, OSError) as error:  # between two files that are written one by one
            logger.warning("%s; the certificate that was read before is still served", error)
            return False
        logger.info("took up the renewed certificate %s", self._pair.certificate)
        return True

    def _warn_if_it_ends_soon(self) -> None:
        """Once a day."""
        now = time.time()
        left = self.ends_seconds - now
        if left < SOON_SECONDS and now - self._warned_seconds > DAY_SECONDS:
            self._warned_seconds = now
            logger.warning(
                "%s_certificate_file: %s runs out in %.1f days; renew it on disk, no restart is "
                "needed",
                *(self._setting, self._pair.certificate, left / DAY_SECONDS),
            )

    def _looks(self) -> list[Looks]:
        """Empty where one of them cannot be found, as between a removal and a writing."""
        try:
            return [looks_of(file) for file in self._pair]
        except OSError:
            return []

    def _tried(self) -> tuple[ssl.SSLContext, float]:
        try:
            context = server_context(self._pair)
            return context, _end_of(context, self._pair.certificate)
        except ssl.SSLCertVerificationError as error:
            certificate = f"{self._setting}_certificate_file: {self._pair.certificate}"
            raise SettingsError(
                f"{certificate} cannot be used: {error.verify_message}; renew it"
            ) from None
        except ssl.SSLError as error:
            raise SettingsError(
                f"{self._setting}_certificate_file, {self._setting}_key_file: "
                f"{self._pair.certificate} and {self._pair.key} are no certificate and its key, "
                f"both PEM: {_reason(error)}"
            ) from None
        except OSError as error:
            raise SettingsError(
                f"{self._setting}_certificate_file, {self._setting}_key_file: "
                f"{self._unreadable()} cannot be read: {error.strerror}"
            ) from None

    def _unreadable(self) -> Path:
        return next((file for file in self._pair if not os.access(file, os.R_OK)), self._pair.key)


def certificate_of(setting: str, options: WebOptions) -> Certificate | None:
    """None where the settings name none.

    Raises:
        SettingsError: see `Certificate`.
    """
    certificate, key = options.tls_certificate_file, options.tls_key_file
    if certificate is None or key is None:
        return None
    return Certificate(setting, Pair(certificate, key))


def server_context(pair: Pair) -> ssl.SSLContext:
    """TLS 1.2 or newer, and the ciphers that Python's OpenSSL takes for secure.

    Raises:
        OSError: a file cannot be read; as SSLError, it is not PEM, encrypted, or another's key.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(*pair, password=_no_password)
    return context


def trusting(certificate: Path) -> ssl.SSLContext:
    """For a client on the server's own machine, which has the certificate itself to compare with,
    and calls the server by an address that the certificate need not name.

    Raises:
        OSError: it cannot be read, or is no certificate.
    """
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # of a private authority's, as people make them
    return context


def authorities(setting: str, file: Path | None) -> ssl.SSLContext:
    """For a client of a server elsewhere: those of a file, or those that this machine trusts.

    Raises:
        SettingsError: there are none in the file.
    """
    try:
        context = ssl.create_default_context(cafile=file)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(
            f"{setting}: {file} cannot be used: {reason}; it should hold certificates as PEM"
        ) from None
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # of a private authority's, as people make them
    return context


def _end_of(server: ssl.SSLContext, certificate: Path) -> float:
    """Shake hands with oneself; Unix time at which the certificate runs out."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    serving = server.wrap_bio(to_server, to_client, server_side=True)
    asking = trusting(certificate).wrap_bio(to_client, to_server, server_hostname="itself")
    done: set[ssl.SSLObject] = set()
    while len(done) < 2:
        for side in {asking, serving} - done:
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                continue
    told = asking.getpeercert()
    assert told is not None
    return float(ssl.cert_time_to_seconds(str(told["notAfter"])))


def _no_password() -> str:
    raise ssl.SSLError(1, "the key is encrypted, and there is nobody to ask for its password")


def _reason(error: ssl.SSLError) -> str:
    """As OpenSSL says it, without where in its own code that was."""
    return re.sub(r"^\[\w+(: \w+)?\] | \(_\w+\.c:\d+\)$", "", str(error.args[-1]))
