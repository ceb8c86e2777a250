"""Mappings of plain values, such as YAML files hold, to dataclasses, with every value checked."""

import dataclasses
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from encodec_cli.errors import ConfigError
from encodec_cli.io.text import shown

__all__ = [
    "check_at_least",
    "check_choices",
    "check_keys",
    "check_range",
    "describe_type",
    "faults_in",
    "from_mapping",
    "from_nested",
    "raise_faults",
    "read_yaml",
]

_MOST_ITEMS = 1000
"""In a list."""
_MOST_INTEGER = 1 << 63

_Dataclass = TypeVar("_Dataclass")


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping with plain types only (no tags, so no code).

    Raises:
        ConfigError: missing, unreadable, not YAML, or not a mapping.
    """
    from encodec_cli.config.plain_yaml import MOST_YAML_BYTES, parse_yaml

    try:
        with path.open("rb") as file:
            text = file.read(MOST_YAML_BYTES + 1).decode()
    except OSError as error:
        raise ConfigError(f"{path}: cannot read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not valid YAML: not UTF-8 text") from error
    data = parse_yaml(text, str(path))
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: not a mapping of keys to values")
    return data


def from_mapping(cls: type[_Dataclass], data: Mapping[str, Any], where: str) -> _Dataclass:
    """Build a dataclass from plain YAML values, checking every key and type.

    Lists become tuples where the field is a tuple, whole numbers become floats where it is one.

    Raises:
        ConfigError: unknown, missing or ill-typed key; the message starts with `where`.
    """
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    check_keys(data, set(fields), where)
    for name, entry in fields.items():
        if _is_required(entry) and name not in data:
            raise ConfigError(f"{where}: {name}: missing")
    hints = typing.get_type_hints(cls)
    values = {}
    for name, value in data.items():
        try:
            values[name] = _coerce(value, hints[name])
        except TypeError as error:
            raise ConfigError(f"{where}: {name}: {shown(value)} is not {error}") from None
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def from_nested(cls: type[_Dataclass], data: Mapping[str, Any], where: str) -> _Dataclass:
    """`from_mapping` of a dataclass with fields that are dataclasses, given as mappings.

    Raises:
        ConfigError: see `faults_in`; all of them in one message.
    """
    raise_faults(faults_in(cls, data), where)
    hints = typing.get_type_hints(cls)
    values = {
        name: from_nested(hints[name], value, f"{where}: {name}")
        if dataclasses.is_dataclass(hints[name])
        else value
        for name, value in data.items()
    }
    return from_mapping(cls, values, where)


def raise_faults(faults: Sequence[str], where: str) -> None:
    """Say all `faults` of the file `where` in one message, if there are any.

    Raises:
        ConfigError: there are.
    """
    if len(faults) == 1:
        raise ConfigError(f"{where}: {faults[0]}")
    if faults:
        words = "; ".join(fault.split("; known: ")[0] for fault in faults)
        raise ConfigError(f"{where}: {len(faults)} faults: {words}")


def faults_in(cls: type[Any], data: Any) -> list[str]:
    """All that is wrong with the mapping `data` for the dataclass `cls`, a line for each fault.

    Unknown keys, missing ones, values of another type or out of range, in nested dataclasses too;
    then what is wrong with the values together.
    """
    if not isinstance(data, Mapping):
        return ["not a mapping of keys"]
    fields = {f.name: f for f in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls)
    known = ", ".join(sorted(fields))
    faults = [f"unknown key {shown(key)}; known: {known}" for key in data if key not in fields]
    required = [name for name, f in fields.items() if _is_required(f)]
    faults += [f"{name}: missing" for name in required if name not in data]
    good: dict[str, Any] = {}
    for name, value in data.items():
        if name not in fields:
            continue
        if dataclasses.is_dataclass(hints[name]):
            inner = faults_in(hints[name], value)
            faults += [f"{name}: {fault}" for fault in inner]
            if not inner:
                good[name] = from_nested(hints[name], value, name)
            continue
        try:
            good[name] = _coerce(value, hints[name])
        except TypeError as error:
            faults.append(f"{name}: {shown(value)} is not {error}")
    needed = {name: good.get(name) for name in required}
    return [*faults, *_faults_of_values(cls, needed, good)]


def _faults_of_values(cls: type[Any], needed: dict[str, Any], good: dict[str, Any]) -> list[str]:
    """What `cls` itself complains of: a value, whose default is then taken instead, and so on.

    Complaints start with the name of the field. `needed` are those without defaults.
    """
    faults: list[str] = []
    values = {**needed, **good}
    while True:
        try:
            cls(**values)
        except ConfigError as error:
            faults.append(str(error))
            name = faults[-1].partition(":")[0]
            if name not in values or name in needed:
                return faults
            del values[name]
        except (TypeError, AttributeError):
            return faults  # of a value that is missing, which is said already
        else:
            return faults


def _is_required(entry: "dataclasses.Field[Any]") -> bool:
    missing = dataclasses.MISSING
    return entry.default is missing and entry.default_factory is missing


def check_keys(data: Mapping[str, Any], allowed: set[str], where: str) -> None:
    """Refuse keys of `data` that are not `allowed`.

    Raises:
        ConfigError: there is one; the message starts with `where` and names those that are known.
    """
    for key in data:
        if key not in allowed:
            known = ", ".join(sorted(allowed))
            raise ConfigError(f"{where}: unknown key {shown(key)}; known: {known}")


def check_at_least(config: Any, name: str, least: float) -> None:
    """Refuse a dataclass whose field `name` is below `least`.

    Raises:
        ConfigError: the field is below `least`; the message starts with `name`.
    """
    value = getattr(config, name)
    if value < least:
        raise ConfigError(f"{name}: {shown(value)}: give at least {least}")


def check_range(config: Any, name: str, least: float, most: float) -> None:
    """Refuse a dataclass whose field `name` is no number, below `least` or above `most`.

    Raises:
        ConfigError: no number, or out of range; the message starts with `name`.
    """
    value = getattr(config, name)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise ConfigError(f"{name}: {shown(value)}: give a number")
    check_at_least(config, name, least)
    if value > most:
        raise ConfigError(f"{name}: {shown(value)}: give at most {most}")


def check_choices(config: Any) -> None:
    """Refuse a dataclass with a `Literal` field of another value, as made from Python.

    Raises:
        ConfigError: there is one; the message starts with the field's name.
    """
    for name, hint in typing.get_type_hints(type(config)).items():
        choices = typing.get_args(hint)
        if typing.get_origin(hint) is Literal and getattr(config, name) not in choices:
            raise ConfigError(
                f"{name}: {shown(getattr(config, name))} is not one of {', '.join(choices)}"
            )


def _coerce(value: Any, hint: Any) -> Any:
    """Return `value` as `hint`, or raise TypeError whose text describes `hint`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        for option in arguments:
            try:
                return _coerce(value, option)
            except TypeError:
                continue
        raise TypeError(describe_type(hint))
    if origin is Literal:
        if value in arguments:
            return value
    elif origin is tuple:
        if isinstance(value, Sequence) and not isinstance(value, str):
            if len(value) > _MOST_ITEMS:
                raise TypeError(f"a list of at most {_MOST_ITEMS} items, it has {len(value)}")
            return tuple(_coerce(item, arguments[0]) for item in value)
    elif origin is dict:
        if isinstance(value, Mapping):
            return {_coerce(k, arguments[0]): _coerce(v, arguments[1]) for k, v in value.items()}
    elif hint is float:
        # Also False for NaN; and no float holds a whole number of 400 digits.
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and abs(value) <= sys.float_info.max:
            return float(value)
    elif hint is int:
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MOST_INTEGER:
            return value
    elif hint is types.NoneType:
        if value is None:
            return None
    elif isinstance(value, hint):
        return value
    raise TypeError(describe_type(hint))


def describe_type(hint: Any) -> str:
    """The type `hint` in words: "a whole number or null"."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe_type(option) for option in arguments)
    if origin is Literal:
        return "one of " + ", ".join(arguments)
    if origin is tuple:
        return f"a list of {describe_type(arguments[0])}"
    if origin is dict:
        return "a mapping"
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return names.get(hint, "null" if hint is types.NoneType else getattr(hint, "__name__", "valid"))
