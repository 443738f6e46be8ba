"""The learner: one trunk, a head for each task, and the step that tests and trains them.

Shapes: B samples of a batch, F features, C outputs of a head. Invariant: a step touches the
trunk and one head, so neither its cost nor its result depends on how many heads there are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from si_stream.errors import SettingsError
from si_stream.learning.consolidators import build_consolidator
from si_stream.learning.kernels import choose_kernel
from si_stream.learning.networks import (
    DROPOUT,
    OpenHead,
    build_head,
    build_trunk,
    count_features,
    generator,
    numbers_from,
    scaled,
    split_at_dropout,
)
from si_stream.learning.optimisers import build_optimiser
from si_stream.learning.options import (
    ComputeOptions,
    ConsolidatorOptions,
    ModelOptions,
    OptimiserOptions,
)
from si_stream.learning.parameters import (
    IMPORTANCE,
    REFERENCE,
    WEIGHTS,
    ParameterGroup,
    copy_state,
)

EVALUATION_BATCH = 1024  # samples; bounds the memory of an evaluation


class Learned(NamedTuple):
    """What a batch showed before it was trained on; on the learner's device, not yet read."""

    loss: Tensor  # [] mean task loss
    wrong_B: Tensor  # [B] bool: predicted another label
    logits_BC: Tensor  # of the prediction that was tested
    finite: bool  # else the loss or a gradient was not, and nothing has been changed


class Layer(NamedTuple):
    """One of the trunk's parameters: ‖Ω‖₂ and ‖θ − θ̃‖₂ (0 where the consolidator keeps none)."""

    name: str
    importance: float
    drift: float


class Learner:
    """Learns batches, one task after another.

    Args:
        model: what is learned. Its ``input_shape`` must be set, and ``outputs`` where labels are
            fixed.
        consolidator: what keeps old tasks.

    Raises:
        SettingsError: the settings contradict one another or this machine.

    Example:
        >>> learner = Learner(ModelOptions(input_shape=(3,), outputs=2), OptimiserOptions(),
        ...                   ConsolidatorOptions(strength=0.1), ComputeOptions(kernel="plain"))
        >>> x = torch.tensor([[0, 0, 255], [255, 0, 0]], dtype=torch.uint8)
        >>> y = torch.tensor([1, 0])
        >>> losses = [learner.learn(x, y, head=0).loss.item() for _ in range(100)]
        >>> losses[-1] < losses[0]
        True
        >>> learner.consolidate(head=0)
        >>> learner.predict(x, head=0).argmax(1).tolist()
        [1, 0]
    """

    def __init__(
        self,
        model: ModelOptions,
        optimiser: OptimiserOptions,
        consolidator: ConsolidatorOptions,
        compute: ComputeOptions,
    ) -> None:
        self.model = model
        self.device = choose_device(compute.device)
        self.kernel = choose_kernel(compute.kernel, self.device.type, compute.threads)
        self.consolidator = build_consolidator(consolidator, model, self.device)
        self.optimiser = build_optimiser(optimiser)
        network = build_trunk(model)
        self.features = count_features(network, model)
        self.trunk = self._group(network)
        self.heads: list[ParameterGroup] = []
        # What a module of one's own does when it trains, nobody can see: it may drop or draw.
        layers = list(network.modules())
        own = model.network.kind == "module"
        self._stem, self._rest = (nn.Identity(), network) if own else split_at_dropout(network)
        self.masks = generator(model.seed, DROPOUT, device=self.device)
        self._batch_norms = [layer for layer in layers if isinstance(layer, _BatchNorm)]

    def open_heads(self, count: int) -> None:
        """Have heads 0 … count-1: each is made when its first sample is about to be learned."""
        while len(self.heads) < count:
            head = build_head(self.model, self.features, len(self.heads))
            self.heads.append(self._group(head))

    def learn(self, inputs: Tensor, labels: Tensor, head: int) -> Learned:
        """Test on a batch, then train on it, with one forward and one backward pass.

        Args:
            inputs: ``[B, *input_shape]`` of the model's dtype.
            labels: ``[B]`` int64, below the model's ``width``.
            head: its number; it is opened where it is not yet.

        A network with dropout, or a module of one's own, is tested in a forward pass of its own;
        what lies before the first dropout is computed once.
        Where labels are open, one that is new has no output yet when it is tested, so it is
        predicted wrong; then its output is opened, and it is trained on.
        """
        self.open_heads(head + 1)
        groups = (self.trunk, self.heads[head])
        before = self._changed_in_passing(head)
        x, y = scaled(inputs, self.device), labels.to(self.device, non_blocking=True)
        stem = self._stem(x)  # the same to test and to train
        if self._rest is not None:
            tested_BC = self._tested(stem, head, self._rest)  # tested first …
            features_BF = self._features_with_own_numbers(stem, self._rest)
            logits_BC = self.heads[head].module(features_BF)
        else:
            features_BF = stem
            logits_BC = self.heads[head].module(features_BF)
            tested_BC = self._among_open(logits_BC, head)
        wrong_B = ~self._is_right(tested_BC, y, head)
        self._open_outputs(y, head)
        loss = functional.cross_entropy(self._among_open(logits_BC, head), y)
        objective = self.consolidator.objective(loss, x, features_BF, self.heads, head)
        torch.autograd.backward(objective)  # … then trained: for SI, g = ∂L/∂θ of the task alone
        finite = is_finite(loss, groups)
        if finite:
            self.optimiser.begin_step()
            with torch.no_grad():
                for group in groups:  # Eq. 3 and 4, in one pass
                    self.optimiser.update(group, self.consolidator, self.kernel)
            self.consolidator.see(inputs)
        else:
            for buffer, value in before:
                buffer.copy_(value)
        for group in groups:
            group.drop_gradients()
        return Learned(loss.detach(), wrong_B, tested_BC.detach(), finite)

    @torch.no_grad()
    def predict(self, inputs: Tensor, head: int) -> Tensor:
        """Logits ``[B, C]`` of one head, without dropout; nothing is changed.

        Those of outputs that are not open are −∞.
        """
        with self._as_it_predicts():
            logits_BC = self._logits(scaled(inputs, self.device), head)
            return self._among_open(logits_BC, head)

    def are_right(self, inputs: Tensor, labels: Tensor, head: int) -> Tensor:
        """Which of any number of samples one head predicts right, ``[n]`` bool on the device."""
        parts = (torch.split(tensor, EVALUATION_BATCH) for tensor in (inputs, labels))
        return torch.cat(
            [
                self._is_right(self.predict(x, head), y.to(self.device), head)
                for x, y in zip(*parts, strict=True)
            ]
        )

    def count_correct(self, inputs: Tensor, labels: Tensor, head: int) -> int:
        """How many of any number of samples one head predicts right."""
        return int(self.are_right(inputs, labels, head).sum())

    def consolidate(self, head: int) -> None:
        """The task of this head has ended (Eq. 5)."""
        groups = (self.trunk, self.heads[head])
        self.consolidator.end_task(groups, partial(self._log_probabilities, head=head))
        self.optimiser.end_task(groups)

    @torch.no_grad()
    def surrogate_loss(self, head: int) -> Tensor:
        """The penalty of Eq. 4 at the present weights of the trunk and one head, ``[]``."""
        groups = (self.trunk, self.heads[head])
        return sum((self.consolidator.surrogate_loss(g) for g in groups), torch.zeros(()))

    @torch.no_grad()
    def layers(self) -> list[Layer]:
        """How important and how far gone each of the trunk's weight tensors is."""
        return [
            Layer(
                piece.name,
                float(piece.views[IMPORTANCE].norm()) if IMPORTANCE in piece.views else 0.0,
                float((piece.views[WEIGHTS] - piece.views[REFERENCE]).norm())
                if REFERENCE in piece.views
                else 0.0,
            )
            for piece in self.trunk.pieces
        ]

    def state(self) -> dict[str, Tensor]:
        """Everything that learning goes on from, by name; the live tensors, not copies."""
        groups = {"trunk": self.trunk}
        groups |= {f"heads.{number}": group for number, group in enumerate(self.heads)}
        tensors = {
            f"{part}.{name}": tensor
            for part, group in groups.items()
            for name, tensor in group.state().items()
        }
        kept = self.consolidator.state().items()
        tensors |= {f"consolidator.{name}": tensor for name, tensor in kept}
        tensors["optimiser.steps"] = torch.tensor(self.optimiser.steps)
        tensors["random.dropout"] = self.masks.get_state()
        return tensors

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over the `state` of an equal learner, to the bit.

        Raises:
            ValueError: it is the state of another network.
        """
        count = len({name.split(".")[1] for name in state if name.startswith("heads.")})
        del self.heads[count:]
        self.open_heads(count)
        own = self.state()
        copy_state(own, state)
        self.optimiser.steps = int(own["optimiser.steps"])
        self.masks.set_state(own["random.dropout"])

    def _changed_in_passing(self, head: int) -> list[tuple[Tensor, Tensor]]:
        """What a batch changes for good before its gradient is known, and its values now: running
        statistics, and which outputs are open."""
        modules = [*self._batch_norms, self.heads[head].module]
        return [(buffer, buffer.clone()) for module in modules for buffer in module.buffers()]

    def _group(self, module: nn.Module) -> ParameterGroup:
        group = ParameterGroup(module.to(self.device))
        self.optimiser.attach(group)
        self.consolidator.attach(group)
        return group

    def _logits(self, x: Tensor, head: int) -> Tensor:
        """Of all outputs, open or not."""
        logits_BC: Tensor = self.heads[head].module(self.trunk.module(x))
        return logits_BC

    @contextmanager
    def _as_it_predicts(self) -> Iterator[None]:
        self.trunk.module.eval()
        try:
            yield
        finally:
            self.trunk.module.train()

    def _log_probabilities(self, inputs: Tensor, head: int) -> Tensor:
        """Of the outputs that are open, with gradients; as `predict` does, without dropout."""
        module = self.heads[head].module
        with self._as_it_predicts():
            logits_BC = self._logits(scaled(inputs, self.device), head)
        if isinstance(module, OpenHead):
            logits_BC = logits_BC[:, module.is_open]
        return functional.log_softmax(logits_BC, 1)

    def _among_open(self, logits_BC: Tensor, head: int) -> Tensor:
        module = self.heads[head].module
        return module.among_open(logits_BC) if isinstance(module, OpenHead) else logits_BC

    def _open_outputs(self, y: Tensor, head: int) -> None:
        module = self.heads[head].module
        if isinstance(module, OpenHead):
            module.open(y)

    def _is_right(self, logits_BC: Tensor, y: Tensor, head: int) -> Tensor:
        """Of each sample, ``[B]`` bool; a label without an output is never predicted."""
        module, right_B = self.heads[head].module, logits_BC.argmax(1) == y
        if isinstance(module, OpenHead):
            right_B &= module.is_open.index_select(0, y)
        return right_B

    @torch.no_grad()
    def _tested(self, stem: Tensor, head: int, rest: nn.Module) -> Tensor:
        """What `predict` says, of a batch that has come as far as the stem."""
        with self._as_it_predicts():
            return self._among_open(self.heads[head].module(rest(stem)), head)

    def _features_with_own_numbers(self, stem: Tensor, rest: nn.Module) -> Tensor:
        """For training; what draws random numbers draws this learner's own."""
        for layer in self._batch_norms:
            layer.train(len(stem) > 1)  # one sample has no variance: the running one is taken
        with numbers_from(self.masks):
            features_BF: Tensor = rest(stem)
        return features_BF


@torch.no_grad()
def is_finite(loss: Tensor, groups: Iterable[ParameterGroup]) -> bool:
    """Whether the loss and every gradient are finite numbers, as a sum is only if its terms are.

    The squares of the gradients are added up, for of a gradient whose square is not finite Adam's
    second moment is infinite for ever, and the weight would not move again.
    """
    gradients = [piece.parameter.grad for group in groups for piece in group.pieces]
    flat = [gradient.reshape(-1) for gradient in gradients if gradient is not None]
    total = sum((torch.dot(one, one) for one in flat), loss.detach())
    return math.isfinite(total.item())


def choose_device(name: str) -> torch.device:
    """``auto`` is the GPU where there is one.

    Raises:
        SettingsError: it is ``cuda``, and PyTorch sees no GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise SettingsError(
            "compute.device is 'cuda', but PyTorch sees no CUDA GPU here; "
            "set it to 'auto' or 'cpu', or install PyTorch's CUDA build and the driver"
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
