"""A copy stays as it is, whatever becomes of the state and of the memory that it was made in."""

from __future__ import annotations

from dataclasses import fields

import torch

from si_stream.boundaries.portraits import LEAST_SAMPLES, Portrait
from si_stream.brokers.interface import Envelope
from si_stream.checkpoints.copies import Space
from si_stream.messages.kinds import Boundary, End, Message
from tests.streams import digest, learned, samples, settings

MESSAGES: list[Message | Envelope] = [
    samples(LEAST_SAMPLES, task="a"),
    Boundary("1"),
    samples(LEAST_SAMPLES, 300, task="b"),
    Boundary("2"),
    samples(50, 600, task="a"),
    End("3"),
]
SETTLED = {f"portraits/{task}/{one.name}" for task in (0, 1) for one in fields(Portrait)}


def test_drawn_portraits_are_shared_and_all_else_is_the_copys_own() -> None:
    state = learned(MESSAGES, settings())
    live, copied = state.tensors(), Space().copy(state).tensors
    assert copied.keys() == live.keys()
    assert all(torch.equal(copied[name], live[name]) for name in live)
    places = {name: tensor.data_ptr() for name, tensor in live.items()}
    assert {name for name, one in copied.items() if one.data_ptr() == places[name]} == SETTLED


def test_a_portrait_that_is_drawn_anew_leaves_that_of_an_earlier_copy_as_it_was() -> None:
    state, space = learned(MESSAGES, settings()), Space()
    copied = space.copy(state).tensors
    before = {name: digest(copied[name]) for name in SETTLED}
    state.portraits.known[0] = state.portraits.known[1]
    assert digest(state.tensors()["portraits/0/means"]) != before["portraits/0/means"]
    space.copy(state)
    assert {name: digest(copied[name]) for name in SETTLED} == before
