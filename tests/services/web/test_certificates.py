"""Certificates: what is served works, and a renewed one is taken up by a running process."""

from __future__ import annotations

import logging
import shutil
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from services.web.certificates import Certificate, Pair, trusting
from si_stream.errors import SettingsError
from tests.services.web.certificates import Authority, openssl


@pytest.fixture
def pair(authority: Authority, tmp_path: Path) -> Pair:
    """A certificate of one's own to spoil."""
    return copied(authority.certificate("one"), Pair(tmp_path / "tls.crt", tmp_path / "tls.key"))


def copied(source: Pair, target: Pair) -> Pair:
    for one, other in zip(source, target, strict=True):
        shutil.copy(one, other)
    return target


def served_name(certificate: Certificate, client: ssl.SSLContext) -> str:
    """The name in the certificate that a client which trusts so is shown."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with certificate.context.wrap_socket(ours, server_side=True):
            pass

    thread = threading.Thread(target=serve)
    thread.start()
    with client.wrap_socket(theirs, server_hostname="localhost") as connection:
        told = connection.getpeercert()
        assert connection.version() == "TLSv1.3"
    thread.join()
    assert told is not None
    return str(told["subject"][0][0][1])


def test_a_client_that_trusts_the_authority_or_has_the_certificate_is_served(
    authority: Authority, pair: Pair
) -> None:
    certificate = Certificate("predictor.tls", pair)
    authority_alone = ssl.create_default_context(cafile=authority.file)
    assert served_name(certificate, authority_alone) == "one"
    assert served_name(certificate, trusting(pair.certificate)) == "one"
    assert certificate.context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_client_with_another_certificate_is_not_fooled(authority: Authority, pair: Pair) -> None:
    certificate = Certificate("predictor.tls", pair)
    other = authority.certificate("another")
    with pytest.raises(ssl.SSLCertVerificationError):
        certificate_of_other(certificate, other)


def certificate_of_other(certificate: Certificate, other: Pair) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    serving = certificate.context.wrap_bio(to_server, to_client, server_side=True)
    asking = trusting(other.certificate).wrap_bio(to_client, to_server, server_hostname="x")
    for side in (asking, serving, asking):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue


def test_a_renewed_certificate_is_served_to_those_who_come_then(
    authority: Authority, pair: Pair
) -> None:
    certificate = Certificate("predictor.tls", pair)
    client = ssl.create_default_context(cafile=authority.file)
    assert not certificate.renew()
    copied(authority.certificate("renewed"), pair)
    assert certificate.renew()
    assert served_name(certificate, client) == "renewed"
    assert not certificate.renew()


def test_while_the_files_do_not_fit_the_certificate_before_is_served(
    authority: Authority, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = Certificate("predictor.tls", pair)
    client = ssl.create_default_context(cafile=authority.file)
    renewed = authority.certificate("renewed")
    shutil.copy(renewed.certificate, pair.certificate)  # its key comes a moment later
    assert not certificate.renew()
    assert "no certificate and its key" in caplog.text
    assert served_name(certificate, client) == "one"
    pair.key.unlink()
    assert not certificate.renew()
    assert served_name(certificate, client) == "one"
    shutil.copy(renewed.key, pair.key)
    assert certificate.renew()
    assert served_name(certificate, client) == "renewed"


def test_a_key_that_is_not_the_certificates_is_refused(authority: Authority, pair: Pair) -> None:
    shutil.copy(authority.certificate("another").key, pair.key)
    with pytest.raises(SettingsError, match=r"tls.crt and .*tls.key are no certificate and its"):
        Certificate("predictor.tls", pair)


@pytest.mark.parametrize("missing", ["tls.crt", "tls.key"])
def test_a_file_that_is_not_there_is_named(missing: str, pair: Pair, tmp_path: Path) -> None:
    (tmp_path / missing).unlink()
    with pytest.raises(SettingsError, match=rf"predictor.tls_key_file: .*{missing} cannot be read"):
        Certificate("predictor.tls", pair)


def test_what_is_no_certificate_is_refused(pair: Pair) -> None:
    pair.certificate.write_text("certificate")
    with pytest.raises(SettingsError, match="no certificate and its key, both PEM"):
        Certificate("predictor.tls", pair)


def test_an_encrypted_key_asks_nobody_for_a_password(pair: Pair, tmp_path: Path) -> None:
    openssl("ec", "-aes128", "-passout", "pass:secret", "-in", pair.key, "-out", tmp_path / "new")
    shutil.move(tmp_path / "new", pair.key)
    with pytest.raises(SettingsError, match="the key is encrypted"):
        Certificate("predictor.tls", pair)


@pytest.mark.parametrize(
    ("begins", "ends", "says"),
    [
        ("20200101000000Z", "20200102000000Z", "certificate has expired"),
        ("20980101000000Z", "20990101000000Z", "certificate is not yet valid"),
    ],
)
def test_one_that_has_run_out_or_not_begun_is_refused(
    begins: str, ends: str, says: str, authority: Authority
) -> None:
    with pytest.raises(SettingsError, match=f"cannot be used: {says}; renew it"):
        Certificate("predictor.tls", authority.certificate("old", begins=begins, ends=ends))


def test_one_that_runs_out_soon_is_warned_of_each_day(
    authority: Authority, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_three_days = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + 3 * 86400 + 60))
    with caplog.at_level(logging.WARNING):
        certificate = Certificate("learner.tls", authority.certificate("short", ends=in_three_days))
        assert not certificate.renew()
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 86_401)
        assert not certificate.renew()
    assert [record.args[2] for record in caplog.records if isinstance(record.args, tuple)] == [
        pytest.approx(3, abs=0.01),
        pytest.approx(2, abs=0.01),
    ]
