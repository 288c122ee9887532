"""``dataclass`` as the standard library has it, with methods that are made when they are first asked for.

Writing and compiling the methods of one dataclass takes up to a millisecond. A command loads more than a hundred of
these classes, makes objects of a third of them, and compares or prints hardly any: it pays for those only.
``dataclasses.fields``, ``replace`` and ``asdict``, pickling and pattern matching work as ever.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, fields
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

_making = RLock()


class _Later:
    """Stands in a class for what is made, and put there, when it is first looked up."""

    def __init__(self, owner: type, name: str, make: Callable[[], Any]) -> None:
        self._owner = owner
        self._name = name
        self._make = make

    def __get__(self, instance: object, owner: type) -> Any:
        with _making:
            if vars(self._owner)[self._name] is self:
                setattr(self._owner, self._name, self._make())
        made = vars(self._owner)[self._name]
        return made.__get__(instance, owner) if hasattr(made, "__get__") else made


class _Plan:
    """What is known of a class when it is declared, from which its methods are made."""

    def __init__(self, cls: type, *, kw_only: bool) -> None:
        declared: dict[str, str] = vars(cls).get("__annotations__", {})
        self.kinds = {name: kind for name, kind in declared.items() if not kind.startswith("ClassVar")}
        self.defaults = {name: value for name, value in vars(cls).items() if name in self.kinds}
        self._cls = cls
        self._kw_only = kw_only

    def made(self, name: str, **wanted: bool) -> Any:
        """What the standard decorator calls ``name``, out of a class of the same fields that is to have nothing else
        than ``wanted``."""
        inherited = {
            field.name: field
            for base in reversed(self._cls.__bases__)
            if dataclasses.is_dataclass(base)
            for field in fields(base)
        }
        kinds = {name: field.type for name, field in inherited.items()} | self.kinds
        body: dict[str, Any] = {name: field for name, field in inherited.items() if name not in self.kinds}
        body |= {**self.defaults, "__annotations__": kinds, "__module__": self._cls.__module__}
        if hasattr(self._cls, "__post_init__"):
            body["__post_init__"] = self._cls.__post_init__
        twin = type(self._cls.__name__, (), {**body, "__qualname__": self._cls.__qualname__, "__doc__": ""})
        options = {"init": False, "repr": False, "eq": False, "kw_only": self._kw_only, **wanted}
        return vars(dataclasses.dataclass(**options)(twin))[name]


def _refuse_to_set(self: object, name: str, value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(self: object, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    # The interpreter's own way would ask a frozen object to change.
    for field, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)


def _slotted(cls: type, plan: _Plan) -> type:
    inherited = {name for base in cls.__mro__[1:] for name in vars(base).get("__slots__", ())}
    dropped = {*plan.defaults, "__dict__", "__weakref__"}
    body = {name: value for name, value in vars(cls).items() if name not in dropped}
    body |= {"__slots__": tuple(name for name in plan.kinds if name not in inherited), "__qualname__": cls.__qualname__}
    return type(cls)(cls.__name__, cls.__bases__, body)


def _with_defaults(cls: type, plan: _Plan) -> type:
    for name, value in plan.defaults.items():
        if isinstance(value, dataclasses.Field):
            if value.default is MISSING:
                delattr(cls, name)
            else:
                setattr(cls, name, value.default)
    return cls


def _deferred(cls: type, *, frozen: bool = False, slots: bool = False, kw_only: bool = False) -> type:
    plan = _Plan(cls, kw_only=kw_only)
    given = set(vars(cls))
    cls = _slotted(cls, plan) if slots else _with_defaults(cls, plan)
    made = plan.made
    later: dict[str, Callable[[], Any]] = {
        "__init__": partial(made, "__init__", init=True, frozen=frozen),
        "__repr__": partial(made, "__repr__", repr=True),
        "__eq__": partial(made, "__eq__", eq=True),
        "__dataclass_fields__": partial(made, "__dataclass_fields__"),
        "__dataclass_params__": partial(made, "__dataclass_params__", frozen=frozen),
        "__match_args__": partial(made, "__match_args__"),
    }
    at_once: dict[str, Any] = {}
    if frozen:
        later["__hash__"] = partial(made, "__hash__", unsafe_hash=True)
        at_once |= {"__setattr__": _refuse_to_set, "__delattr__": _refuse_to_delete}
    else:
        at_once["__hash__"] = None
    if frozen and slots:
        at_once |= {"__getstate__": _state, "__setstate__": _set_state}
    for name, value in (at_once | {name: _Later(cls, name, make) for name, make in later.items()}).items():
        if name not in given:
            setattr(cls, name, value)
    return cls


if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(cls: type | None = None, /, **options: bool) -> Any:
        """As ``dataclasses.dataclass``, of which it takes ``frozen``, ``slots`` and ``kw_only``."""
        return (lambda it: _deferred(it, **options)) if cls is None else _deferred(cls, **options)
