"""What a person may choose about what a predictor follows."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from si_stream.learning.options import Options


class SourceOptions(Options):
    """Of a predictor."""

    source: str | None = Field(
        None,
        min_length=1,
        description="what to follow: a learner's directory, or the URL of a learner on another "
        "machine, as http://learner:9101, of which a copy is kept in `directory`; None: "
        "`directory` itself",
    )
    source_token: SecretStr | None = Field(
        None, min_length=8, description="that the learner at the URL asks for, its read_token"
    )
    source_token_file: Path | None = Field(
        None,
        description="holds the token instead, as orchestrators mount secrets; read anew when it "
        "has changed",
    )
    source_ca_file: Path | None = Field(
        None,
        description="certificates (PEM) that vouch for a learner at an https URL, where it is not "
        "one of those that this machine trusts",
    )

    @field_validator("source")
    @classmethod
    def _is_an_address(cls, source: str | None) -> str | None:
        if source is not None and "://" in source:
            require_address(source)
        return source

    @property
    def source_url(self) -> str | None:
        """The learner's address, where one is followed by it."""
        return self.source.rstrip("/") if self.source and "://" in self.source else None


def require_address(url: str) -> None:
    """Raises:
    ValueError: it is no address of a web server, or has more in it than that.
    """
    write = "write it as http://HOST:PORT"
    if "@" in url:
        raise ValueError(f"should have no user in it, which nothing asks for; {write}")
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # of a port or brackets
        is_address = False
    if not is_address:
        raise ValueError(f"should be the address of a web server; {write}")
    if "?" in url or "#" in url:
        raise ValueError(f"should have no more behind its address than a path; {write}")
