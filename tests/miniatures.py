"""Fake implementations, each wrong in one named way, to try the suite on."""

import copy
import dataclasses
from typing import Any

import numpy as np

import mbtref
from conformance.operations import CAPABILITIES, Values
from conformance.subjects.protocol import Methods, Unsupported
from conformance.subjects.reference import Reference
from mbtref.exact import CONTEXT_TAPS


class WrongMask(Reference):
    """Its context model takes the tap left of the centre for the one left of that."""

    name = "wrong-mask"

    def model(self, name: str) -> mbtref.Model:
        model = super().model(name)
        taps = model.entropy.context.weight.reshape(len(CONTEXT_TAPS), -1)
        wrong = copy.copy(model.entropy)
        wrong.context = copy.copy(wrong.context)
        wrong.context.weight = taps[[*range(len(taps) - 2), -1, -2]].reshape(model.entropy.context.weight.shape)
        return dataclasses.replace(model, entropy=wrong)


class SwappedScaleAndMean(Reference):
    """It takes entropy_parameters to give the mean first."""

    name = "swapped"

    def parameters(self, model: str, z_hat: Any, y_hat: Any) -> Values:
        right = super().parameters(model, z_hat, y_hat)
        return {**right, "sigma": right["mu"], "mu": right["sigma"]}


class SwappedColours(Reference):
    """It takes pictures to be BGR."""

    name = "bgr"

    def g_a(self, model: str, x: Any) -> Values:
        return super().g_a(model, x[::-1].copy())


class NotANumber(Reference):
    """Its hyper-analysis has a NaN."""

    name = "nan"

    def h_a(self, model: str, y: Any) -> Values:
        z = np.array(super().h_a(model, y)["z"])
        z[1, 0, 0] = np.nan
        return {"z": z}


class OneTooMany(Reference):
    """It answers one array too many."""

    name = "one-too-many"

    def g_s(self, model: str, y_hat: Any) -> Values:
        return {**super().g_s(model, y_hat), "y_hat": y_hat}


class WrongDtype(Reference):
    """It answers in float64."""

    name = "float64"

    def g_s(self, model: str, y_hat: Any) -> Values:
        return {"x_hat": np.asarray(super().g_s(model, y_hat)["x_hat"], np.float64)}


class Raises(Reference):
    """It raises."""

    name = "raises"

    def g_s(self, model: str, y_hat: Any) -> Values:
        raise ZeroDivisionError("division by zero")


class Nothing(Methods):
    """It declares everything and does nothing."""

    name = "nothing"
    version = "0"
    capabilities = CAPABILITIES

    def call(self, operation: str, model: str | None, inputs: Values) -> Values:
        raise Unsupported(operation)
