"""Which activations and norms a config may name, with which numbers.

A config may come with any checkpoint. What it names is looked up here and nowhere else, so that it
cannot ask for other classes of torch.nn: those that change shapes, draw random numbers or need
arguments that it does not give.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from encodec_cli.errors import ConfigError
from encodec_cli.io.text import shown

__all__ = ["check_activation", "check_norm"]


@dataclass(frozen=True)
class _Range:
    """Numbers from `low` to `high`, both included."""

    low: float
    high: float

    def holds(self, value: Any) -> bool:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class _OneOf:
    """One of a few values, of the same type."""

    values: tuple[Any, ...]

    def holds(self, value: Any) -> bool:
        return any(type(value) is type(one) and value == one for one in self.values)

    def __str__(self) -> str:
        return " or ".join(map(repr, self.values))


_Parameters = Mapping[str, _Range | _OneOf]
_SLOPE = _Range(-1000, 1000)
_POSITIVE = _Range(1e-6, 1000)
_NOT = _OneOf((False,))  # in place, a layer would change what goes around it as well
_SWITCH = _OneOf((False, True))
_ACTIVATIONS: Mapping[str, _Parameters] = MappingProxyType(
    {
        "ELU": {"alpha": _SLOPE, "inplace": _NOT},
        "CELU": {"alpha": _POSITIVE, "inplace": _NOT},
        "SELU": {"inplace": _NOT},
        "GELU": {"approximate": _OneOf(("none", "tanh"))},
        "Hardshrink": {"lambd": _Range(0, 1000)},
        "Hardsigmoid": {"inplace": _NOT},
        "Hardswish": {"inplace": _NOT},
        "Hardtanh": {
            "min_val": _Range(-1000, -1e-6),
            "max_val": _Range(1e-6, 1000),
            "inplace": _NOT,
        },
        "Identity": {},
        "LeakyReLU": {"negative_slope": _SLOPE, "inplace": _NOT},
        "LogSigmoid": {},
        "Mish": {"inplace": _NOT},
        "PReLU": {"num_parameters": _OneOf((1,)), "init": _SLOPE},
        "ReLU": {"inplace": _NOT},
        "ReLU6": {"inplace": _NOT},
        "SiLU": {"inplace": _NOT},
        "Sigmoid": {},
        "Softplus": {"beta": _POSITIVE, "threshold": _Range(0, 1000)},
        "Softshrink": {"lambd": _Range(0, 1000)},
        "Softsign": {},
        "Tanh": {},
        "Tanhshrink": {},
    }
)
_EPS = _Range(1e-12, 1)
_NORMS: Mapping[str, _Parameters] = MappingProxyType(
    {
        "layer_norm": {"eps": _EPS, "elementwise_affine": _SWITCH, "bias": _SWITCH},
        "time_group_norm": {"eps": _EPS, "affine": _SWITCH},
    }
)


def check_activation(key: str, name: str, params: Mapping[str, Any] | None) -> None:
    """Refuse an activation that is not known, or parameters that it does not take.

    Raises:
        ConfigError: an unknown activation or parameter; the message starts with `key`.
    """
    known = _ACTIVATIONS.get(name) if isinstance(name, str) else None
    if known is None:
        raise ConfigError(
            f"{key}: {shown(name)} is not a class of torch.nn that fits here; give one of "
            f"{', '.join(_ACTIVATIONS)}"
        )
    _check(f"{key}_params", params, known, f"torch.nn.{name}")


def check_norm(norm: str, params: Mapping[str, Any] | None) -> None:
    """Refuse parameters that the norm does not take.

    Raises:
        ConfigError: there are some; the message starts with `norm_params`.
    """
    _check("norm_params", params, _NORMS.get(norm, {}), f"norm: {norm}")


def _check(key: str, params: Mapping[str, Any] | None, known: _Parameters, what: str) -> None:
    for name, value in (params or {}).items():
        rule = known.get(name)
        if rule is None:
            takes = ", ".join(known) or "none"
            raise ConfigError(
                f"{key}: {shown(dict(params or {}))} do not fit {what}, which takes {takes}"
            )
        if not rule.holds(value):
            raise ConfigError(f"{key}: {name}: {shown(value)}: {what} takes {rule}")
