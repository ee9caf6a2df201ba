"""The weights of a model, put into somebody else's PyTorch modules by position, whatever their names and widths.

A port that is fixed at N = M = 192 takes any model in this way: its tensors get other sizes.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, groupby, permutations, zip_longest

import safetensors.torch
import torch
from torch import Tensor, nn

from mbtref.suite.subjects.data import model_file

DENSITY = "entropy_bottleneck"
NETWORKS = ("g_a", "g_s", "h_a", "h_s", "context_prediction", "entropy_parameters", DENSITY)
"""The networks of a model, and the density of z."""
TRAINED = re.compile(r"\.(weight|bias|beta|gamma|quantiles|(matrices|biases|factors)\.\d)$")
"""The end of the name of a tensor that is no mask, bound or table."""


def read(model: str) -> Mapping[str, Tensor]:
    """All tensors of a model of the vectors, by name."""
    tensors: Mapping[str, Tensor] = safetensors.torch.load_file(model_file(model))
    return tensors


def widths(model: str) -> tuple[int, int]:
    """N and M of a model of the vectors."""
    M, N, *_ = read(model)["g_a.6.weight"].shape
    return N, M


def by_position(model: str, **modules: nn.Module) -> None:
    """Puts the weights of a model into modules: `by_position("lite-q4", g_a=port.encoder, g_s=port.decoder)`.

    modules: each by one of NETWORKS. The first convolution that a module defines gets the weights of the model's
    first, and so on; so do its GDNs. The density's parameters are matrix, bias and factor of one layer after the
    other, or all of one kind together; its quantiles come before or after them. Nothing is converted: a transposed
    kernel has its inputs first, and a GDN's tensors are square roots, as in `mbtref.networks`. A parameter keeps
    its dtype and its device. A mask that is the same for all channels gets the new size of its kernel.
    Raises ValueError if a module has other layers, or a mask that isn't.
    """
    tensors = read(model)
    for network, module in modules.items():
        if network not in NETWORKS:
            raise ValueError(f"{network} isn't one of {', '.join(NETWORKS)}")
        names = [name for name in sorted(tensors) if name.startswith(f"{network}.") and TRAINED.search(name)]
        places = groupby(names, lambda name: name.rpartition(".")[0])
        layers = [[tensors[name] for name in place] for _, place in places]
        parts = [list(part.parameters(recurse=False)) for part in module.modules()]
        orders = _orders(*layers) if network == DENSITY else [_by_kind(layers)]
        parameters = list(module.parameters()) if network == DENSITY else _by_kind(parts)
        found = _forms(parameters)
        weights = next((order for order in orders if _forms(order) == found), None)
        if weights is None:
            due = _in_words(chain(*layers))
            raise ValueError(f"{network}: tensors of the model: {due}; of the module: {_in_words(parameters)}")
        for weight, parameter in zip(weights, parameters, strict=True):
            parameter.data = weight.to(parameter)
        for part in module.modules():
            _widen(part)


def _by_kind(layers: Iterable[Iterable[Tensor]]) -> list[Tensor]:
    """The tensors of all layers, biases first in each. Layers of one kind stand together, in their order."""
    by_axes = (sorted(layer, key=Tensor.dim) for layer in layers)
    return list(chain(*sorted(by_axes, key=lambda layer: [tensor.dim() for tensor in layer])))


def _orders(
    biases: list[Tensor], factors: list[Tensor], matrices: list[Tensor], quantiles: list[Tensor]
) -> Iterator[list[Tensor]]:
    """The orders in which a density may have its parameters: by layer, or by kind."""
    by_layer = [each for layer in zip_longest(matrices, biases, factors) for each in layer if each is not None]
    for kinds in (
        (by_layer, quantiles),
        (quantiles, by_layer),
        *permutations((biases, factors, matrices, quantiles)),
    ):
        yield list(chain(*kinds))


def _forms(tensors: Iterable[Tensor]) -> list[tuple[int, ...]]:
    """What is the same at all widths: number of axes, size of a kernel, sizes in a density."""
    return [(each.dim(), *each.shape[1 if each.dim() == 3 else 2 :]) for each in tensors]


def _in_words(tensors: Iterable[Tensor]) -> str:
    """How many tensors there are of each form, such as "7 of 1 axis, 4 of 4 axes (5×5)"."""
    forms = Counter(_forms(tensors)).items()
    words = [
        f"{n} of {axes} ax{'i' if axes == 1 else 'e'}s ({'×'.join(map(str, of))})" for (axes, *of), n in forms
    ]
    return ", ".join(words).replace(" ()", "") or "none"


def _widen(part: nn.Module) -> None:
    """Gives a convolution's numbers of channels, and its mask, the sizes of its kernel."""
    for kernel in (each for each in part.parameters(recurse=False) if each.dim() == 4):
        outer, inner = kernel.shape[:2]
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            part.in_channels, part.out_channels = (outer, inner) if part.transposed else (inner, outer)
        for mask in chain(part.buffers(recurse=False), vars(part).values()):
            if not isinstance(mask, Tensor) or mask.shape[2:] != kernel.shape[2:]:
                continue
            if mask.shape[:2] not in ((1, 1), (outer, inner)):
                if not torch.equal(mask[:1, :1].expand_as(mask), mask):
                    raise ValueError(f"a mask of {tuple(mask.shape)} isn't the same for all channels")
                mask.data = mask[:1, :1].repeat(outer, inner, 1, 1)
