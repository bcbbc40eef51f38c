"""Gradients in closed form, without autograd: of the distillation loss, and of networks of linear layers and ReLU.

With q = softmax(z / T) of a student's logits z, and p that of the teacher's, the loss of one example has the gradient

    dL/dz = alpha * T * (q - p) + (1 - alpha) * (softmax(z) - onehot(label))

(notebook 4 derives it). From the logits back through a layer z = W x + b whose inputs x are the ReLU of another's
outputs, B examples side by side:

    dL/dW = dL/dz xᵀ     dL/db = the sum of dL/dz over the examples     dL/dx = Wᵀ dL/dz where x > 0, else 0

All is for K networks at once, and K may be 1. A step of a small network, 784-50-10 say, takes 0.6 times as long as by
autograd, which spends its time on a graph; for large ones, and for many at once, the products are nearly all there is.
"""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdtutor._batched import stackable
from kdtutor._check import shape
from kdtutor._device import dtype_of, threads_for
from kdtutor.data import Augment, Data, Split, as_input, batches
from kdtutor.evaluation import RunningMeans
from kdtutor.fitting import BatchLoss, OptimizerFactory, fit_by
from kdtutor.results import History


class Objective:
    """The formula of `losses.distillation_loss` for K networks, each with its own temperature and alpha.

    Logits are (K, C, B), of the teacher too, and labels (K, B).
    """

    def __init__(
        self, temperature: Sequence[float], alpha: Sequence[float], dtype: torch.dtype, device: torch.device
    ) -> None:
        self.t = torch.tensor(temperature, device=device, dtype=dtype)[:, None, None]  # (K, 1, 1)
        self.a = torch.tensor(alpha, device=device, dtype=dtype)[:, None, None]
        self.soft_weight = self.a * self.t  # of q - p
        self.hard_weight = 1 - self.a

    def soften(self, teacher_logits: Tensor) -> Tensor:
        """The teacher's probabilities p at each network's temperature, (K, C, B)."""
        return F.softmax(teacher_logits / self.t, dim=1)

    def targets(self, p: Tensor, labels: Tensor) -> Tensor:
        """alpha * T * p + (1 - alpha) * onehot(label), (K, C, B): the gradient's part that no student changes."""
        onehot = torch.zeros_like(p).scatter_(1, labels[:, None], 1)
        return self.soft_weight * p + self.hard_weight * onehot

    def gradient(self, logits: Tensor, targets: Tensor) -> Tensor:
        """dL/dz (K, C, B) of each network's mean loss over the batch, given its `targets`."""
        q = F.softmax(logits / self.t, dim=1)
        answers = self.soft_weight * q + self.hard_weight * F.softmax(logits, dim=1)
        return answers.sub_(targets).div_(logits.shape[-1])

    def losses(self, logits: Tensor, p: Tensor, labels: Tensor) -> Tensor:
        """Each network's mean loss over the batch, (K,), with the teacher's cross-entropy instead of KL: without its
        entropy, which no student changes. As in `distillation_loss` a term of weight 0, which may be infinite, is left
        out, and so is a class that the teacher gives probability 0."""
        t, a = self.t.flatten(), self.a.flatten()
        log_q = F.log_softmax(logits / self.t, dim=1)
        log_s = F.log_softmax(logits, dim=1)
        soft = -(p * log_q).masked_fill_(p == 0, 0).sum(1).mean(1)
        hard = -log_s.gather(1, labels[:, None]).flatten(1).mean(1)
        return (a * t**2 * soft).masked_fill(a == 0, 0) + ((1 - a) * hard).masked_fill(a == 1, 0)


def is_relu_chain(network: nn.Module) -> bool:
    """Whether a `ReluChain` computes what this network and autograd do: `models.mlp` without dropout, in float32 or
    float64, all of it trained, with nothing that listens in."""
    if not stackable([network]) or dtype_of(network) not in (torch.float32, torch.float64):
        return False
    if not all(weight.is_contiguous() for weight in network.parameters()):
        return False
    first, *kinds = [type(layer) for layer in network.children()]
    alternate = {*kinds[::2]} == {nn.Linear} and {*kinds[1::2]} <= {nn.ReLU}
    return first is nn.Flatten and alternate and kinds[-1] is nn.Linear


class ReluChain:
    """K networks of linear layers with ReLU between them, in S groups that share their inputs, as in a `Stack`.

    Args:
        weights: W (K, out, in) and b (K, out) of the first layer, of the second, and so on.
        gradients: tensors of the same shapes, which `backward` fills.
    """

    def __init__(self, weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        self.layers = list(zip(weights[::2], weights[1::2], gradients[::2], gradients[1::2], strict=True))
        self.inputs: list[Tensor] = []  # of each layer

    def logits(self, inputs: Tensor) -> Tensor:
        """Inputs (B, S, ...) to logits (K, C, B)."""
        x = inputs.flatten(2).permute(1, 2, 0)  # (S, in, B)
        self.inputs = []
        for weight, bias, _, _ in self.layers:
            if self.inputs:
                x = x.relu_()
            self.inputs.append(x)
            groups = len(x)  # one product for all networks that share x
            rows = weight.view(groups, -1, weight.shape[-1])
            z = torch.baddbmm(bias.view(groups, -1, 1), rows, x)
            x = z.view(len(weight), -1, z.shape[-1])  # (K, out, B)
        return x

    def backward(self, gradient: Tensor) -> None:
        """Fill the gradients of all weights, given dL/dz (K, C, B) at the logits that came last."""
        for layer, x in reversed(list(zip(self.layers, self.inputs, strict=True))):
            weight, _, weight_gradient, bias_gradient = layer
            groups = len(x)
            by_group = gradient.view(groups, -1, gradient.shape[-1])
            torch.bmm(by_group, x.transpose(1, 2), out=weight_gradient.view(groups, -1, weight.shape[-1]))
            torch.sum(gradient, dim=2, out=bias_gradient)
            if x is not self.inputs[0]:
                gradient = torch.bmm(weight.transpose(1, 2), gradient)
                gradient = torch.ops.aten.threshold_backward(gradient, x, 0)  # 0 where x isn't > 0


# What an optimizer trains, and the places of its weights and of its gradients in a chain.
Part = tuple[Tensor, Tensor, Tensor]


def step(optimizers: Iterable[torch.optim.Optimizer], parts: Sequence[Part]) -> None:
    """Follow the gradients. The optimizers may forget gradients and make new tensors: the chain's stay in place."""
    for trained, _, gradient in parts:
        trained.grad = gradient
    for optimizer in optimizers:
        optimizer.step()
    for trained, weight, _ in parts:
        if trained.data_ptr() != weight.data_ptr():
            trained.data = weight.copy_(trained.data)


def has_closed_form(
    model: nn.Module,
    data: Data,
    teacher_logits: Tensor | None,
    augment: Augment | None,
    precision: torch.dtype | None,
    device: torch.device,
) -> bool:
    """Whether `fit_in_closed_form` does here what `fit` does. It doesn't where `fit` has a mistake to name, such as a
    label that has no class."""
    if not isinstance(data, Split) or augment is not None or not is_relu_chain(model):
        return False
    if precision is not None or torch.is_autocast_enabled(device.type):
        return False
    features, classes = _features_and_classes(model)
    if data.inputs[0].numel() != features or data.labels.max() >= classes:
        return False
    return teacher_logits is None or shape(teacher_logits) == (len(data), classes)


def _features_and_classes(chain: nn.Module) -> tuple[int, int]:
    """How many numbers a chain takes, and how many it gives."""
    first, *_, bias = chain.parameters()
    return first.shape[1], len(bias)


def fit_in_closed_form(
    model: nn.Module,
    data: Data,
    loss: BatchLoss,
    teacher_logits: Tensor | None,
    *,
    temperature: float,
    alpha: float,
    epochs: int,
    batch_size: int,
    lr: float,
    optimizer: OptimizerFactory,
    validation: Data | None,
    seed: int,
    device: torch.device,
    progress: bool,
) -> History:
    """`fit` where `has_closed_form`; teacher_logits (N, C) may be None if alpha is 0.

    A step needs the loss's gradient alone. The loss itself is measured after each epoch, from the logits of its steps.
    """
    assert isinstance(data, Split)
    dtype = dtype_of(model)
    _, classes = _features_and_classes(model)
    if teacher_logits is None or alpha == 0:  # the soft term, whatever it may be, is left out
        teacher_logits, temperature = torch.zeros(len(data), classes), 1.0
    objective = Objective([temperature], [alpha], dtype, device)
    p = objective.soften(teacher_logits.detach().to(device, dtype).T[None])  # (1, C, N)
    targets = objective.targets(p, data.labels.to(device)[None])[0].T.contiguous()  # (N, C)

    def train_epoch(opt: torch.optim.Optimizer, generator: torch.Generator) -> tuple[float, float]:
        parts = [(weight, weight.detach(), torch.zeros_like(weight.detach())) for weight in model.parameters()]
        student = ReluChain([weight[None] for _, weight, _ in parts], [gradient[None] for _, _, gradient in parts])
        seen = []
        for inputs, labels, index in batches(data, batch_size, device, generator):
            assert index is not None
            logits = student.logits(as_input(inputs, dtype)[:, None])  # (1, C, B)
            student.backward(objective.gradient(logits, targets.index_select(0, index).T[None]))
            step([opt], parts)
            seen.append((logits[0].T, labels, index))

        logits, labels, index = (torch.cat(parts) for parts in zip(*seen, strict=True))
        means = RunningMeans()
        means.add(loss(logits, data.inputs, labels, index), logits, labels)  # no loss here looks at the inputs
        return means.result()

    return fit_by(
        train_epoch, model, threads_for(model, data.inputs, batch_size, device),
        epochs=epochs, lr=lr, optimizer=optimizer, validation=validation, seed=seed, device=device, progress=progress,
    )  # fmt: skip
