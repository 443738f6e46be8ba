"""Certificates as people make them: with openssl, of an authority of their own."""

from __future__ import annotations

import subprocess
from pathlib import Path

from services.web.certificates import Pair

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
AUTHORITY = """
[ca]
default_ca = own
[own]
dir = {directory}
new_certs_dir = {directory}
database = {directory}/index.txt
rand_serial = yes
certificate = {directory}/ca.pem
private_key = {directory}/ca.key
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
"""


class Authority:
    """Args:
    directory: for its files; those of the certificates that it signs, too.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "ca.pem"
        (directory / "index.txt").touch()
        (directory / "ca.cnf").write_text(AUTHORITY.format(directory=directory))
        openssl(
            *("req", "-x509", *KEY, "-subj", "/CN=an authority", "-days", "30"),
            *("-addext", "keyUsage=critical,keyCertSign"),
            *("-out", self.file, "-keyout", directory / "ca.key"),
        )

    def certificate(self, name: str, *, begins: str = "", ends: str = "20991231000000Z") -> Pair:
        """For 127.0.0.1 and localhost."""
        pair = Pair(self.directory / f"{name}.pem", self.directory / f"{name}.key")
        request = self.directory / f"{name}.csr"
        openssl(
            *("req", "-new", *KEY, "-subj", f"/CN={name}", "-out", request, "-keyout", pair.key),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        )
        times = ["-enddate", ends, *(("-startdate", begins) if begins else ())]
        openssl(
            *("ca", "-batch", "-notext", "-config", self.directory / "ca.cnf", *times),
            *("-in", request, "-out", pair.certificate),
        )
        return pair


def openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
