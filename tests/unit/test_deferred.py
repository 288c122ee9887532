"""Deferred dataclasses do what the standard ones do, and make nothing before it is asked for."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import field
from typing import Any, ClassVar

import pytest

from backup_core.deferred import dataclass

Decorator = Callable[..., Any]


def declare(decorate: Decorator) -> tuple[type, ...]:
    @decorate(frozen=True, slots=True)
    class Point:
        """A frozen one with slots."""

        KIND: ClassVar = "point"
        x: int
        y: int = 2
        marks: list[str] = field(default_factory=list, compare=False)

        def __post_init__(self) -> None:
            if self.x < 0:
                raise ValueError("x")

    @decorate(frozen=True, slots=True, kw_only=True)
    class Named(Point):
        """Adds to what it inherits."""

        name: str = field(repr=False)

    @decorate
    class Plain:
        """Neither frozen nor with slots."""

        a: int = 1
        b: dict[str, int] = field(default_factory=dict)

    @decorate(slots=True)
    class Open:
        """Slots only."""

        a: int

        def __repr__(self) -> str:
            return "its own"

    return Point, Named, Plain, Open


OURS, THEIRS = declare(dataclass), declare(dataclasses.dataclass)


@dataclass(frozen=True, slots=True)
class Sent:
    """Goes through a pipe."""

    word: str
    more: tuple[int, ...] = ()


@pytest.mark.parametrize(("ours", "theirs"), list(zip(OURS, THEIRS, strict=True)))
def test_the_class_is_that_of_the_standard_decorator(ours: Any, theirs: Any) -> None:
    def facts(cls: Any) -> list[object]:
        return [(f.name, f.type, f.default, f.default_factory, f.kw_only, f.compare) for f in dataclasses.fields(cls)]

    assert facts(ours) == facts(theirs)
    assert dataclasses.is_dataclass(ours)
    assert ours.__match_args__ == theirs.__match_args__
    assert ours.__dataclass_params__.frozen == theirs.__dataclass_params__.frozen
    assert (ours.__hash__ is None) == (theirs.__hash__ is None)
    assert getattr(ours, "__slots__", None) == getattr(theirs, "__slots__", None)
    assert (ours.__qualname__, ours.__doc__) == (theirs.__qualname__, theirs.__doc__)


@pytest.mark.parametrize(
    ("which", "positional", "named"),
    [(0, (1,), {}), (0, (1, 5), {"marks": ["m"]}), (1, (1,), {"name": "n"}), (2, (), {}), (2, (7,), {"b": {"k": 1}}),
     (3, (4,), {})],
)  # fmt: skip
def test_objects_are_those_of_the_standard_decorator(
    which: int, positional: tuple[int, ...], named: dict[str, Any]
) -> None:
    ours, same, theirs = (cls(*positional, **named) for cls in (OURS[which], OURS[which], THEIRS[which]))
    assert repr(ours) == repr(theirs)
    assert ours == same
    assert ours != theirs, "classes differ"
    assert dataclasses.asdict(ours) == dataclasses.asdict(theirs)
    assert dataclasses.replace(ours) == ours == copy.copy(ours)
    first = dataclasses.fields(ours)[0].name
    assert dataclasses.replace(ours, **{first: 9}) != ours


@pytest.mark.parametrize(("which", "positional", "named"), [(0, (), {}), (0, (1, 2, [], 3), {}), (1, (1, "n"), {}),
                                                            (3, (), {}), (2, (), {"c": 1})])  # fmt: skip
def test_wrong_arguments_are_refused(which: int, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
    for cls in (OURS[which], THEIRS[which]):
        with pytest.raises(TypeError):
            cls(*positional, **named)


def test_what_is_frozen_stays_as_it_is() -> None:
    point = OURS[0](1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
        point.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'x'"):
        del point.x
    assert hash(point) == hash(OURS[0](1, marks=["not compared"]))


def test_nothing_is_shared_between_objects() -> None:
    one, other = OURS[2](), OURS[2]()
    one.b["k"] = 1
    assert other.b == {}


def test_the_last_word_is_asked() -> None:
    with pytest.raises(ValueError, match="x"):
        OURS[0](-1)


def test_patterns_match() -> None:
    point = OURS[0]
    match point(1, 5):
        case point(1, y):
            assert y == 5
        case _:
            pytest.fail("no match")


def test_a_class_that_builds_on_one_may_call_it() -> None:
    @dataclass
    class Base:
        """Nothing of it was made yet."""

        a: int

    class Derived(Base):
        def __init__(self) -> None:
            super().__init__(3)

    assert Derived().a == 3


def test_objects_are_pickled_before_anything_else_was_made() -> None:
    program = (
        "import pickle, sys; from tests.unit.test_deferred import Sent;"
        "print(pickle.loads(sys.stdin.buffer.read()), pickle.loads(pickle.dumps(Sent('b'))) == Sent('b'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps(Sent("a", (1, 2))), capture_output=True, check=False
    )
    assert (done.stdout.decode(), done.stderr.decode()) == ("Sent(word='a', more=(1, 2)) True\n", "")


def test_methods_are_made_when_they_are_asked_for() -> None:
    @dataclass(frozen=True, slots=True)
    class Fresh:
        """Only declared."""

        a: int

    before = {name: vars(Fresh)[name] for name in ("__init__", "__eq__", "__repr__", "__hash__")}
    assert len({type(stand_in) for stand_in in before.values()}) == 1
    Fresh(1)
    assert vars(Fresh)["__init__"] is not before["__init__"]
    assert vars(Fresh)["__eq__"] is before["__eq__"]
