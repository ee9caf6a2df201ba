"""A model as ONNX files, for runtimes other than PyTorch. The graphs are written node by node.

Surprises first:

- g_a, h_a and g_s are float32. Their values move by an ulp with the runtime, as they do in PyTorch.
- The entropy path is float64 that holds integers, with the matrices of `mbtref.exact`. All sums stay below 2^53.
  So every runtime gets the same integers, whatever it fuses and in whatever order it adds.
- onnxruntime has no Conv for float64. So a convolution is a MatMul of shifted slices of the padded input, side by
  side on the channel axis. A transposed one has four phases, which DepthToSpace interleaves.
- Integers outside are int32, channels first, with a batch axis in front. All sizes except the channels are free.
- The same model always gives the same bytes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

import mbtref
from mbtref.exact import CONTEXT_TAPS, REACH, SLOPE, SLOPE_BITS, EntropyNetworks, Linear
from mbtref.files import write_whole
from mbtref.grid import LIMIT, ONE, WEIGHT_BITS
from mbtref.model import Model
from mbtref.networks import BETA_MIN, GDN, non_negative
from mbtref.suite.subjects.onnx import FINGERPRINT, SUFFIX

OPSET = 17
"""Version of the operators. onnxruntime has known it since 1.12."""
IR_VERSION = 8
"""Version of the file format that belongs to OPSET."""
UNITS = "int32 values of z_hat, psi, phi, sigma, mu, y_hat and context are multiples of 2^-10; k_z and index count"
"""What the integers of the exact graphs mean."""
F32, F64, I32 = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT32

Array = npt.NDArray[np.generic]
Shape = Sequence[str | int]
"""A text names a size that is free."""


def write(model: Model, folder: Path) -> list[Path]:
    """Writes all graphs of a model into folder/NAME, which need not exist. Returns the files. Raises OSError."""
    metadata = {
        FINGERPRINT: model.fingerprint.hex(),
        "mbtref.networks": model.name,
        "mbtref.N": str(model.networks.N),
        "mbtref.M": str(model.networks.M),
        "mbtref.units": UNITS,
        "mbtref.version": mbtref.__version__,
    }
    target = folder / model.name
    target.mkdir(parents=True, exist_ok=True)
    files = []
    for graph in graphs(model):
        files.append(target / f"{graph.name}{SUFFIX}")
        write_whole(files[-1], graph.model(metadata).SerializeToString(deterministic=True))
    return files


class Graph:
    """A graph while it is written. A value is known by its name. name: of the graph."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, kind: int, shape: Shape) -> str:
        """Adds an input. kind: F32 or I32."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: str, value: str, kind: int, shape: Shape) -> None:
        """Adds an output, which has a value's numbers. kind: F32 or I32."""
        self._nodes.append(helper.make_node("Cast", [value], [name], to=kind))
        self._outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def constant(self, array: Array) -> str:
        """A value that is always the same."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def number(self, value: float) -> str:
        """A float64 constant."""
        return self.constant(np.array(value, np.float64))

    def axes(self, *axes: int) -> str:
        """A constant of axes, places or widths."""
        return self.constant(np.array(axes, np.int64))

    def op(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Applies an operator of ONNX that has one output."""
        name = f"{operator}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def halves(self, v: str, axis: int) -> tuple[str, str]:
        """The first and the second half of an axis."""
        first, second = (f"{half}_{len(self._nodes)}" for half in ("First", "Second"))
        self._nodes.append(helper.make_node("Split", [v], [first, second], axis=axis))
        return first, second

    def model(self, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """The finished model. metadata: its description. Raises onnx's errors if the graph isn't valid."""
        graph = helper.make_graph(self._nodes, self.name, self._inputs, self._outputs, self._constants)
        made = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="mbtref"
        )
        helper.set_model_props(made, dict(metadata))
        onnx.checker.check_model(made, full_check=True)
        return made


def graphs(model: Model) -> list[Graph]:
    """All graphs of a model. The name of each is the name of its file."""
    N, M, networks = model.networks.N, model.networks.M, model.networks
    thresholds = model.thresholds.cpu().numpy()
    return [
        transform("g_a", networks.g_a, "x", ("B", 3, "H", "W"), "y", ("B", M, "H/16", "W/16")),
        transform("h_a", networks.h_a, "y", ("B", M, "4h", "4w"), "z", ("B", N, "h", "w")),
        transform("g_s", networks.g_s, "y_hat", ("B", M, "i", "j"), "x_hat", ("B", 3, "16i", "16j")),
        hyper_synthesis(model.entropy, N),
        teacher_forced(model.entropy, N, thresholds),
        step(model.entropy, thresholds),
    ]


def transform(name: str, network: nn.Sequential, given: str, shape: Shape, result: str, due: Shape) -> Graph:
    """g_a, h_a or g_s, in float32. given, result: names of the input and the output. shape, due: theirs."""
    g = Graph(name)
    v = g.input(given, F32, shape)
    for module in network:
        v = layer(g, module, v)
    g.output(result, v, F32, due)
    return g


def layer(g: Graph, module: nn.Module, v: str) -> str:
    """A layer of the float networks. v: (B, C, H, W) float32."""
    if isinstance(module, GDN):
        beta, gamma = non_negative(module.beta, BETA_MIN), non_negative(module.gamma, 0.0)
        kernel, bias = floats(g, gamma[:, :, None, None]), floats(g, beta)
        # norm_i = beta_i + sum_j gamma_ij x_j²
        norm = g.op("Conv", g.op("Mul", v, v), kernel, bias)
        return g.op("Mul" if module.inverse else "Div", v, g.op("Sqrt", norm))
    if isinstance(module, nn.LeakyReLU):
        return g.op("LeakyRelu", v, alpha=module.negative_slope)
    assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d), f"no layer of mbt2018: {type(module).__name__}"
    assert module.bias is not None, "all convolutions of mbt2018 have a bias"
    sizes: dict[str, Any] = {"strides": list(module.stride), "pads": [int(module.padding[0])] * 4}
    if isinstance(module, nn.ConvTranspose2d):
        # the added row and column are the last ones
        sizes["output_padding"] = list(module.output_padding)
    operator = "ConvTranspose" if isinstance(module, nn.ConvTranspose2d) else "Conv"
    return g.op(operator, v, floats(g, module.weight), floats(g, module.bias), **sizes)


def floats(g: Graph, tensor: Tensor) -> str:
    """A tensor as a float32 constant."""
    return g.constant(tensor.detach().cpu().numpy().astype(np.float32))


def hyper_synthesis(networks: EntropyNetworks, N: int) -> Graph:
    """k_z -> z_hat and psi."""
    g = Graph("h_s")
    z_hat, psi = psi_of(g, networks, g.input("k_z", I32, ("B", N, "h", "w")))
    g.output("z_hat", z_hat, I32, ("B", N, "h", "w"))
    g.output("psi", psi, I32, ("B", 2 * networks.M, "4h", "4w"))
    return g


def teacher_forced(networks: EntropyNetworks, N: int, thresholds: Array) -> Graph:
    """k_z and the latents y_hat of a whole picture -> all stages of all latents."""
    g, M = Graph("parameters"), networks.M
    y_hat = ("B", M, "4h", "4w")
    k_z, latents = g.input("k_z", I32, ("B", N, "h", "w")), g.input("y_hat", I32, y_hat)
    z_hat, psi = psi_of(g, networks, k_z)
    context = neighbours(g, g.op("Cast", latents, to=F64), CONTEXT_TAPS, above=REACH, beside=REACH, below=0)
    phi = product(g, networks.context, context)
    sigma, mu = heads(g, networks, channels_last(g, psi), phi)
    g.output("z_hat", z_hat, I32, ("B", N, "h", "w"))
    g.output("psi", psi, I32, ("B", 2 * M, "4h", "4w"))
    g.output("phi", channels_first(g, phi), I32, ("B", 2 * M, "4h", "4w"))
    g.output("sigma", channels_first(g, sigma), I32, y_hat)
    g.output("mu", channels_first(g, mu), I32, y_hat)
    g.output("index", channels_first(g, index(g, sigma, thresholds)), I32, y_hat)
    return g


def step(networks: EntropyNetworks, thresholds: Array) -> Graph:
    """One wavefront, P positions: psi, and y_hat at the CONTEXT_TAPS of each -> all stages of their latents."""
    g, M = Graph("step"), networks.M
    psi, context = g.input("psi", I32, ("P", 2 * M)), g.input("context", I32, ("P", len(CONTEXT_TAPS) * M))
    phi = product(g, networks.context, g.op("Cast", context, to=F64))
    sigma, mu = heads(g, networks, g.op("Cast", psi, to=F64), phi)
    g.output("phi", phi, I32, ("P", 2 * M))
    g.output("sigma", sigma, I32, ("P", M))
    g.output("mu", mu, I32, ("P", M))
    g.output("index", index(g, sigma, thresholds), I32, ("P", M))
    return g


def psi_of(g: Graph, networks: EntropyNetworks, k_z: str) -> tuple[str, str]:
    """z_hat and psi. k_z: (B, N, h, w) int32. Returns (B, N, h, w) and (B, 2M, 4h, 4w), float64 grid units."""
    medians = g.constant(networks.medians.cpu().numpy()[:, None, None])
    z_hat = saturated(g, g.op("Add", g.op("Mul", g.op("Cast", k_z, to=F64), g.number(ONE)), medians))
    v = z_hat
    for linear in (networks.h_s_0, networks.h_s_2):
        phases = channels_first(g, leaky_relu(g, convolved(g, linear, v)))
        # channels are (row, column, C): the phase of an output comes first
        v = g.op("DepthToSpace", phases, blocksize=2, mode="DCR")
    return z_hat, channels_first(g, convolved(g, networks.h_s_4, v))


def heads(g: Graph, networks: EntropyNetworks, psi: str, phi: str) -> tuple[str, str]:
    """entropy_parameters. psi, phi: (..., 2M) float64. Returns sigma and mu, (..., M)."""
    v = g.op("Concat", psi, phi, axis=-1)
    for linear in (networks.head_0, networks.head_2):
        v = leaky_relu(g, product(g, linear, v))
    return g.halves(product(g, networks.head_4, v), axis=-1)


def index(g: Graph, sigma: str, thresholds: Array) -> str:
    """The number of thresholds below each sigma. thresholds: (SCALES - 1,) float64."""
    last = g.axes(-1)
    below = g.op("Less", g.constant(thresholds), g.op("Unsqueeze", sigma, last))
    return g.op("ReduceSum", g.op("Cast", below, to=I32), last, keepdims=0)


def convolved(g: Graph, linear: Linear, v: str) -> str:
    """A 3×3 convolution. v: (B, C, H, W) float64. Returns (B, H, W, C')."""
    taps = [(row, column) for row in range(3) for column in range(3)]
    return product(g, linear, neighbours(g, v, taps, above=1, beside=1, below=1))


def neighbours(g: Graph, v: str, taps: Sequence[tuple[int, int]], above: int, beside: int, below: int) -> str:
    """Neighbours side by side, with zeros around the picture. v: (B, C, H, W) float64.

    taps: rows and columns in the padded picture. Returns (B, H, W, taps · C).
    """
    v = g.op("Pad", v, g.axes(0, 0, above, beside, 0, 0, below, beside), g.number(0))
    axes, end = g.axes(2, 3), np.iinfo(np.int64).max
    parts = []
    for row, column in taps:
        # a negative end counts from the last row
        begin, stop = g.axes(row, column), g.axes(row - above - below or end, column - 2 * beside or end)
        parts.append(g.op("Slice", v, begin, stop, axes))
    return channels_last(g, g.op("Concat", *parts, axis=1))


def product(g: Graph, linear: Linear, v: str) -> str:
    """Weight times activation plus bias, back in grid units. v: (..., inputs) float64. Returns (..., outputs)."""
    weight, bias = (g.constant(tensor.cpu().numpy()) for tensor in (linear.weight.T, linear.bias))
    sums = g.op("Add", g.op("MatMul", v, weight), bias)
    return saturated(g, scaled(g, sums, 2.0**-WEIGHT_BITS))


def saturated(g: Graph, units: str) -> str:
    """Clamps grid units to their range."""
    return g.op("Clip", units, g.number(-LIMIT), g.number(LIMIT - 1))


def leaky_relu(g: Graph, units: str) -> str:
    """max(v, 0) + slope · min(v, 0), rounded."""
    zero = g.number(0)
    below = scaled(g, g.op("Min", units, zero), SLOPE * 2.0**-SLOPE_BITS)
    return g.op("Add", g.op("Max", units, zero), below)


def scaled(g: Graph, v: str, factor: float) -> str:
    """floor(v · factor + 1/2)."""
    return g.op("Floor", g.op("Add", g.op("Mul", v, g.number(factor)), g.number(0.5)))


def channels_last(g: Graph, v: str) -> str:
    """(B, C, H, W) -> (B, H, W, C)."""
    return g.op("Transpose", v, perm=[0, 2, 3, 1])


def channels_first(g: Graph, v: str) -> str:
    """(B, H, W, C) -> (B, C, H, W)."""
    return g.op("Transpose", v, perm=[0, 3, 1, 2])
