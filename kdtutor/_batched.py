"""Many networks of one architecture as one: their weights in one tensor, their products in one call.

A step of a small network is mostly overhead. K networks in one computation share it, and those that see the same batch
share the product of their first layer, too. Which students are trained together is decided in `_chunks`.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdtutor.data import Split, as_input
from kdtutor.fitting import OptimizerFactory, linear_decay
from kdtutor.losses import kl_by_example

WEIGHTED_LAYERS = (nn.Linear, nn.Conv2d)
POINTWISE_LAYERS = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.Identity, nn.Dropout)
HOOK_ATTRIBUTES = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


def stackable(networks: Sequence[nn.Module]) -> bool:
    """Whether a `Stack` computes what these networks compute: they are all the same `nn.Sequential` of layers like
    those of `models.mlp` and `models.cnn`, without dropout, hooks, shared or frozen weights."""
    architectures = {repr(network) for network in networks}
    dtypes = {weight.dtype for network in networks for weight in network.parameters()}
    if len(architectures) != 1 or len(dtypes) != 1:
        return False
    return all(_is_plain_chain(network) and _is_plainly_trained(network) for network in networks)


def _is_plain_chain(network: nn.Module) -> bool:
    """Whether it is a Sequential: convolutions, one Flatten, linear layers, and between them what acts on each number
    by itself or pools."""
    if type(network) is not nn.Sequential:
        return False
    layers = list(network)
    kinds = [type(layer) for layer in layers]
    if kinds.count(nn.Flatten) != 1:
        return False
    if kinds[0] not in (nn.Flatten, nn.Conv2d):
        return False  # its inputs might have any shape
    if nn.Linear in kinds[: kinds.index(nn.Flatten)]:
        return False
    return all(_is_known(layer) for layer in layers)


def _is_known(layer: nn.Module) -> bool:
    """Whether `Stack` has this layer with these options."""
    kind = type(layer)  # a subclass may compute anything
    if isinstance(layer, nn.Conv2d):
        return kind is nn.Conv2d and layer.groups == 1 and layer.padding_mode == "zeros"
    if isinstance(layer, nn.Flatten):
        return kind is nn.Flatten and (layer.start_dim, layer.end_dim) == (1, -1)
    if isinstance(layer, nn.MaxPool2d):
        return kind is nn.MaxPool2d and not layer.return_indices
    if isinstance(layer, nn.Dropout):
        return kind is nn.Dropout and layer.p == 0
    return kind is nn.Linear or kind in POINTWISE_LAYERS


def _is_plainly_trained(network: nn.Module) -> bool:
    """Whether each layer has a weight and a bias of its own, all of them trained, and nothing listens in."""
    weights = dict(network.named_parameters(remove_duplicate=False))
    expected = []
    for name, layer in network.named_children():
        if type(layer) in WEIGHTED_LAYERS:
            expected += [f"{name}.weight", f"{name}.bias"]
    if not weights or list(weights) != expected:
        return False
    if len({id(weight) for weight in weights.values()}) < len(weights):
        return False  # some are shared

    for weight in weights.values():
        if not weight.requires_grad or weight._backward_hooks:
            return False
    return not any(_has_hooks(module) for module in network.modules())


def _has_hooks(module: nn.Module) -> bool:
    return any(getattr(module, hooks) for hooks in HOOK_ATTRIBUTES)


class Stack:
    """K = S * M stackable networks: S groups, each with inputs of its own, of M networks that share them. Network k
    belongs to group k // M.

    weights: "1.weight" -> (K, out, in) and so on, by the networks' own names; leaves, for an optimizer that treats
    each number by itself (Adam and SGD do).

    Shapes on the way of a batch of B examples, with G = S up to and including the first layer with weights, which makes
    K outputs of S inputs, and G = K after it:

        inputs             (B, S, ...)
        before a Conv2d    (B, G, channels, H, W)
        after it           (B, K, channels, H, W)
        before Flatten     (B, G, ...)
        after it           (G, features, B)
        before a Linear    (G, in, B)
        after it           (K, out, B)
        logits             (K, classes, B)
    """

    def __init__(self, networks: Sequence[nn.Module], device: torch.device | None = None) -> None:
        self.networks = networks
        self.layers = dict(networks[0].named_children())
        stacked, _ = torch.func.stack_module_state(list(networks))
        self.weights = {name: weight.detach().to(device).requires_grad_() for name, weight in stacked.items()}

    @property
    def dtype(self) -> torch.dtype:
        """Of all the weights."""
        return next(iter(self.weights.values())).dtype

    @property
    def device(self) -> torch.device:
        """Of all the weights."""
        return next(iter(self.weights.values())).device

    def __call__(self, inputs: Tensor) -> Tensor:
        """Inputs (B, S, ...) to logits (K, C, B)."""
        x = inputs
        for name, layer in self.layers.items():
            if isinstance(layer, nn.Flatten):
                x = x.flatten(2).permute(1, 2, 0)
            elif isinstance(layer, nn.Linear):
                x = self._linear(name, x)
            elif isinstance(layer, nn.Conv2d):
                x = self._convolution(name, layer, x)
            elif isinstance(layer, nn.MaxPool2d):
                x = layer(x.flatten(1, 2)).unflatten(1, (x.shape[1], -1))
            else:
                x = layer(x)
        return x

    def _linear(self, name: str, x: Tensor) -> Tensor:
        """(G, in, B) -> (K, out, B), in one product per group for all its networks."""
        groups = len(x)
        weight = self.weights[f"{name}.weight"]
        rows = weight.view(groups, -1, weight.shape[-1])  # (G, K / G * out, in)
        bias = self.weights[f"{name}.bias"].view(groups, -1, 1)
        return torch.baddbmm(bias, rows, x).view(len(self.networks), -1, x.shape[-1])

    def _convolution(self, name: str, layer: nn.Conv2d, x: Tensor) -> Tensor:
        """(B, G, channels, H, W) -> (B, K, channels, H, W), as one convolution in G groups."""
        weight = self.weights[f"{name}.weight"].flatten(0, 1)
        bias = self.weights[f"{name}.bias"].flatten()
        channels = x.flatten(1, 2)
        y = F.conv2d(channels, weight, bias, layer.stride, layer.padding, layer.dilation, groups=x.shape[1])
        return y.unflatten(1, (len(self.networks), -1))

    @torch.no_grad()
    def predict(self, split: Split, batch_size: int = 256) -> Tensor:
        """Logits (K, N, C) on the CPU, all networks on the same examples."""
        logits = []
        for part in split.inputs.split(batch_size):
            inputs = as_input(part.to(self.device), self.dtype)
            logits.append(self(inputs[:, None]).cpu())
        return torch.cat(logits, dim=2).transpose(1, 2).contiguous()

    @torch.no_grad()
    def write_back(self) -> None:
        """Copy each network's weights out of the stack into the network."""
        for k, network in enumerate(self.networks):
            network.load_state_dict({name: weight[k] for name, weight in self.weights.items()})


def distill_stack(
    stack: Stack,
    teacher_logits: Tensor,
    split: Split,
    *,
    seeds: Sequence[int],
    temperature: Sequence[float],
    alpha: Sequence[float],
    lr: float,
    epochs: int,
    batch_size: int,
    optimizer: OptimizerFactory,
    after_epoch: Callable[[], object],
) -> list[bool]:
    """`training.distill` of all K networks in one computation; says of each whether its loss stayed finite.

    Args:
        teacher_logits: (N, C), one row per example of the split.
        seeds: (S), one per group: of its order of examples.
        temperature, alpha: (K), one per network, in the stack's order: first all of the first seed, and so on.
        optimizer: called as optimizer(tensors, lr=lr).
    """
    networks = len(stack.networks)
    assert len(temperature) == len(alpha) == networks
    assert networks % len(seeds) == 0, "each seed has the same number of networks"

    dtype = stack.dtype
    device = stack.device
    loss_dtype = torch.promote_types(dtype, torch.float32)
    images = split.inputs.to(device)
    labels = split.labels.to(device)
    targets = teacher_logits.to(device, loss_dtype)
    t = torch.tensor(temperature, device=device, dtype=loss_dtype)  # (K,)
    a = torch.tensor(alpha, device=device, dtype=loss_dtype)  # (K,)
    without_soft = a == 0
    without_hard = a == 1
    group = torch.arange(len(seeds), device=device).repeat_interleave(networks // len(seeds))  # (K,)
    generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]

    opt = optimizer(stack.weights.values(), lr=lr)
    schedule = linear_decay(opt, epochs)
    finite = torch.ones_like(group, dtype=torch.bool)
    for _ in range(epochs):
        orders = [torch.randperm(len(split), generator=generator) for generator in generators]
        total = torch.zeros_like(t)
        for index in torch.stack(orders, dim=1).to(device).split(batch_size):  # (B, S)
            inputs = as_input(images.index_select(0, index.flatten()), dtype).unflatten(0, index.shape)
            logits = stack(inputs).to(loss_dtype)  # (K, C, B)
            batch_targets = targets[index].permute(1, 2, 0)[group]  # (B, S, C) -> (K, C, B)

            # the formula of `losses.distillation_loss`, for K networks at once; as there a term of weight 0, which may
            # be infinite, is left out
            soft = kl_by_example(logits, batch_targets, t[:, None, None]).mean(1)  # (K,)
            hard = F.cross_entropy(logits, labels[index].T[group], reduction="none").mean(1)  # (K,)
            soft_term = (a * t**2 * soft).masked_fill(without_soft, 0)
            hard_term = ((1 - a) * hard).masked_fill(without_hard, 0)
            losses = soft_term + hard_term  # no network's loss holds another's weights

            opt.zero_grad()
            losses.sum().backward()
            opt.step()
            total += losses.detach()
        finite &= total.isfinite()
        schedule.step()
        after_epoch()
    return finite.tolist()
