"""Many networks of one architecture as one: their weights in one tensor, their products in one call.

A step of a small network is mostly overhead. K networks in one computation share it, and those that see the same batch
share the product of their first layer, too. Which students are to be compared is `kdtutor.sweep`'s business.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdtutor.data import Split, as_input
from kdtutor.losses import kl_by_example
from kdtutor.training import linear_decay

POINTWISE = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.Identity, nn.Dropout)
HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


def stackable(networks: Sequence[nn.Module]) -> bool:
    """Whether a `Stack` computes what these networks compute: they are all the same `nn.Sequential` of layers like
    those of `models.mlp` and `models.cnn`, without dropout, hooks, shared or frozen weights."""
    dtypes = {weight.dtype for network in networks for weight in network.parameters()}
    return len({repr(network) for network in networks}) == len(dtypes) == 1 and all(map(_plain, networks))


def _plain(network: nn.Module) -> bool:
    layers = list(network.children())
    kinds = [type(layer) for layer in layers]
    if type(network) is not nn.Sequential or kinds.count(nn.Flatten) != 1:
        return False
    weights = dict(network.named_parameters(remove_duplicate=False))
    weighted = [name for name, layer in network.named_children() if type(layer) in (nn.Linear, nn.Conv2d)]
    return (
        kinds[0] in (nn.Flatten, nn.Conv2d)
        and nn.Linear not in kinds[: kinds.index(nn.Flatten)]
        and all(map(_known, layers))
        and [*weights] == [f"{name}.{part}" for name in weighted for part in ("weight", "bias")]
        and len({*map(id, weights.values())}) == len(weights) > 0
        and all(weight.requires_grad and not weight._backward_hooks for weight in weights.values())
        and not any(getattr(module, hooks) for module in network.modules() for hooks in HOOKS)
    )


def _known(layer: nn.Module) -> bool:
    match type(layer):
        case nn.Conv2d:
            return layer.groups == 1 and layer.padding_mode == "zeros"
        case nn.Flatten:
            return (layer.start_dim, layer.end_dim) == (1, -1)
        case nn.MaxPool2d:
            return not layer.return_indices
    return type(layer) is nn.Linear or (type(layer) in POINTWISE and not getattr(layer, "p", 0))


class Stack:
    """K = S * M stackable networks: S groups, each with inputs of its own, of M networks that share them.

    weights: "1.weight" -> (K, out, in) and so on, by the networks' own names; leaves, for an optimizer that treats
    each number by itself (Adam and SGD do).
    """

    def __init__(self, networks: Sequence[nn.Sequential], device: torch.device | None = None) -> None:
        self.layers, self.networks = dict(networks[0].named_children()), networks
        stacked, _ = torch.func.stack_module_state(list(networks))
        self.weights = {name: weight.detach().to(device).requires_grad_() for name, weight in stacked.items()}

    def __call__(self, inputs: Tensor) -> Tensor:
        """Inputs (B, S, ...) to logits (K, C, B). Network k belongs to group k // M."""
        networks, x = len(self.networks), inputs  # x is (B, G, ...) up to Flatten, then (G, features, B); G = S, then K
        for name, layer in self.layers.items():
            weight, bias = self.weights.get(f"{name}.weight"), self.weights.get(f"{name}.bias")
            match layer:
                case nn.Flatten():
                    x = x.flatten(2).permute(1, 2, 0)
                case nn.Linear():
                    rows = weight.view(len(x), -1, weight.shape[-1])  # (G, K / G * out, in)
                    x = torch.baddbmm(bias.view(len(x), -1, 1), rows, x).view(networks, -1, x.shape[-1])
                case nn.Conv2d():
                    geometry = layer.stride, layer.padding, layer.dilation, x.shape[1]  # G is the number of groups
                    x = F.conv2d(x.flatten(1, 2), weight.flatten(0, 1), bias.flatten(), *geometry)
                    x = x.unflatten(1, (networks, -1))
                case nn.MaxPool2d():
                    x = layer(x.flatten(1, 2)).unflatten(1, (x.shape[1], -1))
                case _:
                    x = layer(x)
        return x

    @torch.no_grad()
    def predict(self, split: Split, batch_size: int = 256) -> Tensor:
        """Logits (K, N, C) on the CPU, all networks on the same examples."""
        weight = next(iter(self.weights.values()))
        inputs = (as_input(part.to(weight.device), weight.dtype) for part in split.inputs.split(batch_size))
        return torch.cat([self(part[:, None]).cpu() for part in inputs], dim=2).transpose(1, 2).contiguous()

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
    optimizer: Callable[..., torch.optim.Optimizer],
    after_epoch: Callable[[], object],
) -> list[bool]:
    """`training.distill` of all K networks in one computation; says of each whether its loss stayed finite.

    Args:
        teacher_logits: (N, C), a row a row of the split.
        seeds: of the S groups' orders of examples.
        temperature, alpha: of the K networks.
        optimizer: called as optimizer(tensors, lr=lr).
    """
    weight = next(iter(stack.weights.values()))
    dtype, device = weight.dtype, weight.device
    wide = torch.promote_types(dtype, torch.float32)
    images, labels, targets = split.inputs.to(device), split.labels.to(device), teacher_logits.to(device, wide)
    t, a = (torch.tensor(values, device=device, dtype=wide) for values in (temperature, alpha))  # (K,) each
    generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
    group = torch.arange(len(seeds), device=device).repeat_interleave(len(t) // len(seeds))  # (K,)
    optimizer = optimizer(stack.weights.values(), lr=lr)
    schedule = linear_decay(optimizer, epochs)
    finite = torch.ones_like(group, dtype=torch.bool)
    for _ in range(epochs):
        orders = [torch.randperm(len(split), generator=generator) for generator in generators]
        total = torch.zeros_like(t)
        for index in torch.stack(orders, dim=1).to(device).split(batch_size):  # (B, S)
            inputs = as_input(images.index_select(0, index.flatten()), dtype).unflatten(0, index.shape)
            logits = stack(inputs).to(wide)  # (K, C, B)
            answers = targets[index].permute(1, 2, 0)[group]  # (B, S, C) -> (K, C, B)
            soft = kl_by_example(logits, answers, t[:, None, None]).mean(1)
            hard = F.cross_entropy(logits, labels[index].T[group], reduction="none").mean(1)
            losses = a * t**2 * soft + (1 - a) * hard  # (K,): no network's loss holds another's weights
            optimizer.zero_grad()
            losses.sum().backward()
            optimizer.step()
            total += losses.detach()
        finite &= total.isfinite()
        schedule.step()
        after_epoch()
    return finite.tolist()
