"""What a person may choose about a port that answers over HTTP."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from si_stream.learning.options import Options


class WebOptions(Options):
    """Of a learner and of a predictor."""

    tls_certificate_file: Path | None = Field(
        None,
        description="PEM, with the chain above it: the port speaks HTTPS, TLS 1.2 or newer; one "
        "that is renewed on disk is taken up within seconds",
    )
    tls_key_file: Path | None = Field(
        None, description="PEM, its private key, which is not encrypted"
    )
    max_connections: int = Field(
        512,
        ge=1,
        description="open at a time, half of the files that most systems let a process have; more "
        "are told to come again (503)",
    )
    max_requests_per_second: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="from one address, on average; who asks more often gets 429. None, since one "
        "busy client is what a server is for, and all of those behind a proxy have its address",
    )
    trusted_proxies: tuple[str, ...] = Field(
        (),
        description="addresses or networks of proxies, whose X-Forwarded-For says who the client "
        "is; any other's is ignored",
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _are_addresses(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            try:
                ip_network(proxy)
            except ValueError as error:
                raise ValueError(
                    f"should be IP addresses or networks, as 10.0.0.0/8: {error}"
                ) from None
        return proxies

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        for name in type(self).model_fields:
            if name.endswith("token") and self._both(name, f"{name}_file"):
                raise ValueError(f"{name} and {name}_file are both set; keep one")
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError(
                "of tls_certificate_file and tls_key_file one is set alone; set both for HTTPS, "
                "or neither"
            )
        return self

    def _both(self, *names: str) -> bool:
        values: list[Any] = [getattr(self, name) for name in names]
        return all(value is not None for value in values)
