"""Synaptic Intelligence in anybody's own training loop: a `torch.optim.Optimizer`.

The formulas are the learner's own: the same buffers, update kernel and consolidation. Invariant:
a parameter that had no gradient is not touched, so the head of an old task stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from si_stream.learning.kernels import choose_kernel
from si_stream.learning.optimisers import build_optimiser
from si_stream.learning.options import ConsolidatorOptions, OptimiserOptions
from si_stream.learning.parameters import WEIGHTS, ParameterGroup, copy_state
from si_stream.learning.synaptic_intelligence import SynapticIntelligence


class SynapticIntelligenceOptimizer(torch.optim.Optimizer):
    """Adam or plain gradient descent with Synaptic Intelligence (Zenke et al. 2017) in its step.

    Give it a model that is on its device already; leave the penalty out of your loss, since the
    step adds the penalty's gradient itself; say when a task has ended. Where each task has a head
    of its own, let the model hold all of them, and let ``zero_grad`` drop gradients, as is its
    default. Learning rate schedulers work on it.

    Args:
        model: its parameters, but for those that need no gradient, move into one buffer.
        strength: c of Eq. 4, by which the surrogate loss c Σ Ω(θ̃ − θ)² is multiplied. Libraries
            that write ½λ mean λ = 2c.
        damping: ξ of Eq. 5.
        decay: the share of Ω that is lost at each `consolidate`; 0 is none, as in the paper.
        keep_over_boundary: what `consolidate` leaves of Adam's state.
        kernel: of the update: ``auto`` is ``numba`` on a CPU and ``compiled`` on a GPU.
        threads: of the ``numba`` kernel; they change no bit.

    Raises:
        SettingsError: the weights are of several dtypes or devices, or the kernel does not fit.
        pydantic.ValidationError: a number is out of its range.

    Example:
        The first task fixes one of two weights; the second asks for their sum alone, so it can
        be learned with the other. The first task's answer, which was 2, after the second:

        >>> def train(strength):
        ...     model = nn.Linear(2, 1, bias=False)
        ...     nn.init.zeros_(model.weight)
        ...     optimizer = SynapticIntelligenceOptimizer(
        ...         model, learning_rate=0.05, strength=strength)
        ...     first, second = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0]])
        ...     for x, y in ((first, 2.0), (second, -1.0)):
        ...         for _ in range(300):
        ...             optimizer.zero_grad()
        ...             (model(x) - y).square().mean().backward()
        ...             optimizer.step()
        ...         optimizer.consolidate()
        ...     return round(model(first).item(), 1)
        >>> train(strength=0.0)
        0.5
        >>> train(strength=1.0)
        2.0
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        learning_rate: float = 1e-3,
        strength: float = 1.0,
        damping: float = 1e-3,
        decay: float = 0.0,
        kind: Literal["adam", "sgd"] = "adam",
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        epsilon_placement: Literal["before-correction", "after-correction"] = "before-correction",
        keep_over_boundary: Literal["all", "nothing", "step-count"] = "step-count",
        kernel: Literal["auto", "numba", "plain", "compiled"] = "auto",
        threads: int = 1,
    ) -> None:
        options = OptimiserOptions(
            kind=kind,
            learning_rate=learning_rate,
            beta1=beta1,
            beta2=beta2,
            epsilon=epsilon,
            epsilon_placement=epsilon_placement,
            keep_over_boundary=keep_over_boundary,
        )
        keeps = ConsolidatorOptions(strength=strength, damping=damping, decay=decay)
        self._group = ParameterGroup(model)
        self._optimiser = build_optimiser(options)
        self._consolidator = SynapticIntelligence(keeps.strength, keeps.damping, keeps.decay)
        device = self._group[WEIGHTS].device.type
        self._kernel = choose_kernel(kernel, device, threads)
        self._optimiser.attach(self._group)
        self._consolidator.attach(self._group)
        super().__init__(
            [piece.parameter for piece in self._group.pieces],
            {
                "lr": learning_rate,
                "strength": strength,
                "damping": damping,
                "decay": decay,
                "steps": 0,
            },
        )
        self._publish()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._take_settings()
        self._check_buffers()
        self._optimiser.begin_step()
        self._optimiser.update(self._group, self._consolidator, self._kernel)
        self.param_groups[0]["steps"] = self._optimiser.steps
        return loss

    def consolidate(self) -> None:
        """The task has ended (Eq. 5)."""
        self._take_settings()
        self._consolidator.consolidate(self._group)
        self._optimiser.end_task([self._group])
        self.param_groups[0]["steps"] = self._optimiser.steps

    def surrogate_loss(self) -> Tensor:
        """The penalty at the present weights, a scalar ``[]``: to look at, not to train on."""
        self._take_settings()
        return self._consolidator.surrogate_loss(self._group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a `state_dict`, to the bit; the weights are in the model's own.

        Raises:
            ValueError: it is the state of another model or optimizer.
        """
        own, groups = self._named_state(), self.param_groups
        super().load_state_dict(state_dict)
        self.param_groups[0].setdefault("decay", 0.0)  # not in every state: it came later
        try:
            copy_state(own, self._named_state())
        except ValueError:
            self.param_groups = groups
            raise
        finally:
            self._publish()
        self._optimiser.steps = self.param_groups[0]["steps"]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        if self.param_groups:
            raise NotImplementedError(
                "the parameters lie in one buffer from the start: "
                "let the model hold every head before its optimizer is made"
            )
        super().add_param_group(param_group)

    def _publish(self) -> None:
        """Show PyTorch each parameter's views of the buffers as its state."""
        for piece in self._group.pieces:
            shape = piece.parameter.shape
            views = {n: view.view(shape) for n, view in piece.views.items() if n != WEIGHTS}
            self.state[piece.parameter] = views

    def _named_state(self) -> dict[str, Tensor]:
        return {
            f"{piece.name} {name}": tensor
            for piece in self._group.pieces
            for name, tensor in self.state[piece.parameter].items()
        }

    def _take_settings(self) -> None:
        """What a scheduler or a loaded state may have changed."""
        settings = self.param_groups[0]
        self._optimiser.learning_rate = float(settings["lr"])
        self._consolidator.strength = settings["strength"]
        self._consolidator.damping = settings["damping"]
        self._consolidator.decay = settings["decay"]

    def _check_buffers(self) -> None:
        for piece in self._group.pieces:
            if piece.parameter.data_ptr() != piece.views[WEIGHTS].data_ptr():
                raise RuntimeError(
                    f"{piece.name} no longer lies in the optimizer's buffer: move the model to its "
                    "device and dtype before the optimizer is made, and not after"
                )
