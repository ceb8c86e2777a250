"""Activations in few passes over memory, each over what the fastest cache holds."""

from collections.abc import Callable

import numpy as np

from encodec_cli.config.layers import Activation
from encodec_cli.runtime.scratch import Numbers

__all__ = ["Activate", "Derive", "activation_for", "derivative_for", "has_activation"]

Activate = Callable[[Numbers, Numbers], None]
"""Writes the activation of its second argument to its first; both are contiguous."""

Derive = Callable[[Numbers, Numbers], None]
"""Multiplies its first argument by the derivative of the activation at its second one."""

_AT_A_TIME = 16384


def has_activation(plan: Activation) -> bool:
    """Whether `activation_for` has this one."""
    return _pass(plan) is not None


def activation_for(plan: Activation) -> Activate:
    """The function that computes an activation of which `has_activation` holds."""
    one_pass = _pass(plan)
    if one_pass is None:
        raise ValueError(f"no activation {plan.name} with {plan.params}")

    def activate(out: Numbers, x: Numbers) -> None:
        # Views: to copy would mean to write the result to memory that nobody reads.
        target, source = out.reshape(-1, copy=False), x.reshape(-1)
        for start in range(0, source.size, _AT_A_TIME):
            here = slice(start, start + _AT_A_TIME)
            one_pass(target[here], source[here])

    return activate


def derivative_for(plan: Activation) -> Derive:
    """The function that computes the derivative of one of which `has_activation` holds."""
    one_pass = _derivative(plan)

    def derive(gradient: Numbers, x: Numbers) -> None:
        target, source = gradient.reshape(-1, copy=False), x.reshape(-1)
        for start in range(0, source.size, _AT_A_TIME):
            here = slice(start, start + _AT_A_TIME)
            target[here] *= one_pass(source[here])

    return derive


def _derivative(plan: Activation) -> Callable[[Numbers], Numbers]:
    match plan.name:
        case "ReLU":
            return lambda x: _stepped(x, 0.0)
        case "LeakyReLU":
            slope = float(plan.params.get("negative_slope", 0.01))
            return lambda x: _stepped(x, slope)
        case "ELU":
            alpha = float(plan.params.get("alpha", 1.0))
            return lambda x: np.where(x > 0, 1, alpha * np.exp(np.minimum(x, 0))).astype(x.dtype)
        case _:
            return lambda x: 1 - np.square(np.tanh(x))


def _stepped(x: Numbers, slope: float) -> Numbers:
    """1 where `x` is positive, else `slope`; numpy's choice takes twice as long as arithmetic."""
    found: Numbers = (x > 0).astype(x.dtype)
    found *= 1 - slope
    found += slope
    return found


def _pass(plan: Activation) -> Activate | None:
    numbers = {k: v for k, v in plan.params.items() if k != "inplace"}
    if plan.name == "ReLU" and not numbers:
        return _leaky(0.0)
    if plan.name == "LeakyReLU" and numbers.keys() <= {"negative_slope"}:
        return _leaky(float(numbers.get("negative_slope", 0.01)))
    if plan.name == "ELU" and numbers.keys() <= {"alpha"}:
        return _elu(float(numbers.get("alpha", 1.0)))
    if plan.name == "Tanh" and not numbers:
        return _tanh
    return None


def _tanh(out: Numbers, x: Numbers) -> None:
    np.tanh(x, out=out)


def _leaky(slope: float) -> Activate:
    """`x` where positive, else `slope * x`."""
    choose = np.maximum if slope <= 1 else np.minimum

    def one_pass(out: Numbers, x: Numbers) -> None:
        np.multiply(x, slope, out=out)
        choose(x, out, out=out)

    return one_pass


def _elu(alpha: float) -> Activate:
    """`x` where positive, else `alpha * (exp(x) - 1)`."""
    zeros = np.zeros(_AT_A_TIME, np.float32)

    def one_pass(out: Numbers, x: Numbers) -> None:
        # numpy's expm1 takes 7 times as long as its exp. The error of exp(x) - 1 is that of
        # rounding 1, as in any sum of the next layer.
        np.minimum(x, zeros[: x.size], out=out)
        np.exp(out, out=out)
        np.subtract(out, 1.0, out=out)
        if alpha != 1.0:
            np.multiply(out, alpha, out=out)
        if alpha <= 1.0:
            np.maximum(x, out, out=out)
        else:
            np.add(out, np.maximum(x, 0.0), out=out)

    return one_pass
