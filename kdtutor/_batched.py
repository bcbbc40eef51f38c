"""Many networks of one architecture as one: their weights in one tensor, their products in one call.

A step of a small network is mostly overhead. K networks in one computation share it, and those that see the same batch
share the product of their first layer, too. They are trained in `_together`; `_chunks` decides which are.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdtutor.data import Split, as_input

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
        if not weight.requires_grad or weight._backward_hooks or weight._post_accumulate_grad_hooks:
            return False
    return not any(_has_hooks(module) for module in network.modules())


def _has_hooks(module: nn.Module) -> bool:
    return any(getattr(module, hooks) for hooks in HOOK_ATTRIBUTES)


class Stack:
    """K = S * M stackable networks: S groups, each with inputs of its own, of M networks that share them. Network k
    belongs to group k // M.

    weights: "1.weight" -> (K, out, in) and so on, by the networks' own names; leaves with gradients, for an optimizer
    that treats each number by itself (Adam and SGD do).

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
        for weight in self.weights.values():
            weight.grad = torch.zeros_like(weight)

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

    def zero_grad(self) -> None:
        """Gradients 0 where they are: an optimizer holds parts of them."""
        for weight in self.weights.values():
            weight.grad.zero_()

    @torch.no_grad()
    def write_back(self) -> None:
        """Copy each network's weights out of the stack into the network."""
        for k, network in enumerate(self.networks):
            network.load_state_dict({name: weight[k] for name, weight in self.weights.items()})
