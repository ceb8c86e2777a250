"""A pickle machine that builds plain values and runs nothing.

The standard library reads the instructions; the machine here carries out the few that files of
tensors need. Every class and function stays a name: what may be made of one is in a table that
the caller gives. So that a small file costs little,

    instructions   are counted, each makes at most one value
    keys           are texts and numbers: hashing nested tuples may take endless time
    memory         follows from the instructions and their own bytes; nothing is allocated ahead
"""

import pickletools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Bytes", "Global", "Maker", "PickleFault", "UnknownGlobal", "unpickle"]

Maker = Callable[..., Any]
_MOST_STEPS = 1_000_000
_MOST_BITS = 128
_PLAIN_KEYS = (str, int, float, bool, type(None))
_VALUES = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "SHORT_BINBYTES", "BINBYTES", "SHORT_BINSTRING"),
}
# What damaged bytes make the standard library, and makers, raise.
_DAMAGE = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError),
    *(OverflowError, MemoryError, RuntimeError),
)
_CONSTANTS: Mapping[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: Mapping[str, Maker] = {"EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class PickleFault(Exception):
    """A pickle that is damaged, or asks for more than the machine does."""


class UnknownGlobal(PickleFault):
    """A pickle that wants an object made of a class or by a function that is in no table."""


@dataclass(frozen=True)
class Global:
    """A class or function by its name; nothing is imported."""

    name: str


class _Mark:
    """Where a group of values on the stack begins."""


_MARK = _Mark()


class Bytes(Protocol):
    """What the machine reads from."""

    def read(self, count: int, /) -> bytes: ...

    def readline(self) -> bytes: ...


def unpickle(
    file: Bytes, makers: Mapping[str, Maker], persistent: Callable[[Any], Any] | None = None
) -> Any:
    """The value of the pickle where `file` stands, which stands after it then.

    Args:
        file: where to read.
        makers: by the name `module.name`, what is called in place of that class or function. A
            result that has attributes of its own may be given more of them by the pickle.
        persistent: called with the ids of objects that lie elsewhere.

    Raises:
        UnknownGlobal: an object of a class that has no maker.
        PickleFault: damaged, an instruction that files of tensors do not have, or too many.
    """
    machine = _Machine(makers, persistent)
    try:
        operations = pickletools.genops(file)  # type: ignore[arg-type]
        for steps, (operation, argument, _) in enumerate(operations):
            if steps > _MOST_STEPS:
                raise PickleFault(f"more than {_MOST_STEPS} instructions")
            if operation.name == "STOP":
                return machine.pop()
            machine.step(operation.name, argument)
    except PickleFault:
        raise
    except _DAMAGE as error:
        raise PickleFault(" ".join(str(error).split())[:120] or "damaged") from error
    raise PickleFault("it ends early")


class _Machine:
    def __init__(
        self, makers: Mapping[str, Maker], persistent: Callable[[Any], Any] | None
    ) -> None:
        self._makers = makers
        self._persistent = persistent
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise PickleFault("nothing on its stack")
        return self._stack.pop()

    def step(self, name: str, argument: Any) -> None:
        """Carry out one instruction."""
        if name in _VALUES:
            if isinstance(argument, int) and argument.bit_length() > _MOST_BITS:
                raise PickleFault(f"a number of more than {_MOST_BITS} bits")
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self._stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            items = [self.pop() for _ in range(_TUPLES[name])]
            self._stack.append(tuple(reversed(items)))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = self._top()
        elif name in ("BINGET", "LONG_BINGET"):
            self._stack.append(self._memo[argument])
        elif name not in ("PROTO", "FRAME"):
            method = getattr(self, f"_{name.lower()}", None)
            if method is None:
                raise PickleFault(f"instruction {name}")
            method() if argument is None else method(argument)

    def _top(self) -> Any:
        value = self.pop()
        self._stack.append(value)
        return value

    def _group(self) -> list[Any]:
        """The values since the last mark, taken off the stack with it."""
        values: list[Any] = []
        while self._stack:
            value = self._stack.pop()
            if value is _MARK:
                return values[::-1]
            values.append(value)
        raise PickleFault("no mark on its stack")

    def _mark(self) -> None:
        self._stack.append(_MARK)

    def _memoize(self) -> None:
        self._memo[len(self._memo)] = self._top()

    def _tuple(self) -> None:
        self._stack.append(tuple(self._group()))

    def _append(self) -> None:
        value = self.pop()
        self._list().append(value)

    def _appends(self) -> None:
        values = self._group()
        self._list().extend(values)

    def _list(self) -> list[Any]:
        target = self._top()
        if type(target) is not list:
            raise PickleFault("it appends to something that is no list")
        return target

    def _setitem(self) -> None:
        value, key = self.pop(), self.pop()
        self._set([key, value])

    def _setitems(self) -> None:
        self._set(self._group())

    def _set(self, pairs: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, dict) or len(pairs) % 2:
            raise PickleFault("it sets items of something that is no mapping")
        for key, value in _pairs(pairs):
            if type(key) not in _PLAIN_KEYS:
                raise PickleFault("a key that is neither text nor a number")
            target[key] = value

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._stack.append(Global(f"{module}.{name}"))

    def _stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise PickleFault("a class without a name")
        self._stack.append(Global(f"{module}.{name}"))

    def _reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Global) or type(arguments) is not tuple:
            raise PickleFault("it calls something that is no function")
        maker = self._makers.get(function.name)
        if maker is None:
            raise UnknownGlobal(function.name)
        self._stack.append(maker(*arguments))

    _newobj = _reduce

    def _build(self) -> None:
        state, target = self.pop(), self._top()
        if isinstance(state, tuple) and len(state) == 2 and state[1] is None:
            state = state[0]
        # Attributes go into objects of the table's own kinds; these are plain stores of them.
        if not isinstance(state, dict) or not hasattr(target, "__dict__"):
            raise PickleFault("it gives attributes to something that has none")
        if isinstance(target, Global) or not all(isinstance(key, str) for key in state):
            raise PickleFault("it gives attributes to something that has none")
        vars(target).update(state)

    def _binpersid(self) -> None:
        if self._persistent is None:
            raise PickleFault("it refers to something outside")
        self._stack.append(self._persistent(self.pop()))


def _pairs(items: list[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(items[::2], items[1::2], strict=True)
