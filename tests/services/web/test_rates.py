"""Rates: who asks too often waits, and nobody else."""

from __future__ import annotations

import pytest

from services.web import rates
from services.web.rates import Rates


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_a_burst_is_let_in_and_then_the_rate() -> None:
    clock = Clock()
    limits = Rates(5, clock)
    assert [limits.seconds_to_wait("192.0.2.1") for _ in range(10)] == [0.0] * 10
    assert limits.seconds_to_wait("192.0.2.1") == pytest.approx(0.2)
    assert limits.seconds_to_wait("192.0.2.1") == pytest.approx(0.2)  # a refusal is not counted
    let_in = 0
    for _ in range(1000):
        clock.seconds += 0.01
        let_in += limits.seconds_to_wait("192.0.2.1") == 0.0
    assert let_in == 50


@pytest.mark.parametrize("per_second", [0.1, 1, 7.3, 1000])
def test_who_asks_at_the_rate_is_never_refused(per_second: float) -> None:
    clock = Clock()
    limits = Rates(per_second, clock)
    for number in range(500):
        clock.seconds = number / per_second
        assert limits.seconds_to_wait("192.0.2.1") == 0.0


def test_each_client_has_its_own() -> None:
    limits = Rates(0.5, Clock())
    assert limits.seconds_to_wait("192.0.2.1") == 0.0
    assert limits.seconds_to_wait("192.0.2.1") == pytest.approx(2.0)
    assert limits.seconds_to_wait("192.0.2.2") == 0.0


def test_all_addresses_of_an_ipv6_network_are_one_client() -> None:
    limits = Rates(0.5, Clock())
    assert limits.seconds_to_wait("2001:db8:1:2::1") == 0.0
    assert limits.seconds_to_wait("2001:db8:1:2:ffff::9") > 0
    assert limits.seconds_to_wait("2001:db8:1:3::1") == 0.0
    assert limits.seconds_to_wait("::ffff:192.0.2.1") == 0.0
    assert limits.seconds_to_wait("::ffff:192.0.2.2") == 0.0


def test_no_more_than_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "LIMIT", 3)
    limits = Rates(0.5, Clock())
    for number in range(10):
        assert limits.seconds_to_wait(f"192.0.2.{number}") == 0.0
    assert len(limits._full_at) == 3
    assert limits.seconds_to_wait("192.0.2.9") > 0
