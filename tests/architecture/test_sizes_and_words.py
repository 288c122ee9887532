"""Modules and functions stay small, annotated and explained; nothing is left half done."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

LONGEST_MODULE = 400
LONGEST_FUNCTION = 60
MEDIAN_FUNCTION = 12
Function = ast.FunctionDef | ast.AsyncFunctionDef
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
FOREIGN_TO_A_REPOSITORY = re.compile(
    r"(?:deb|security|snapshot)\.debian\.org|files\.pythonhosted|\bpypi\.org|registry\.npmjs|/root/|/home/(?!u\b|user\b|me\b)"
)


def test_modules_are_short(sources) -> None:
    assert [(s.path, n) for s in sources if (n := s.text.count("\n")) > LONGEST_MODULE] == []


def test_functions_are_short(sources) -> None:
    lengths = {
        f"{s.path}:{f.lineno} {f.name}": f.end_lineno - f.lineno + 1 for s in sources for f in _functions(s.tree)
    }
    assert {name: n for name, n in lengths.items() if n > LONGEST_FUNCTION} == {}
    assert statistics.median(lengths.values()) <= MEDIAN_FUNCTION


def test_public_things_are_explained(sources) -> None:
    promised = {m.name for s in sources for c in _classes(s.tree) if _is_protocol(c) for m in c.body if _documented(m)}
    silent = [f"{s.path}: the module" for s in sources if s.text.strip() and not ast.get_docstring(s.tree)]
    for source in sources:
        for node, owner in _public(source.tree):
            if node.name.startswith("test_"):
                continue  # the name of a test is its explanation
            if ast.get_docstring(node) or (owner and (node.name in promised or _inherits(source, owner, node))):
                continue
            silent.append(f"{source.path}:{node.lineno} {node.name}")
    assert silent == []


def test_everything_is_annotated(sources) -> None:
    bare = [f"{s.path}:{f.lineno} {f.name}" for s in sources for f in _functions(s.tree) if not _annotated(f)]
    assert bare == []


def test_nothing_is_left_half_done(sources) -> None:
    lines = [(s, n, line) for s in sources for n, line in enumerate(s.text.splitlines(), 1)]
    found = [f"{s.path}:{n} {line.strip()}" for s, n, line in lines if UNFINISHED.search(line)]
    assert found == []


def test_files_are_fit_for_any_machine(project: Path) -> None:
    """No package mirror and nobody's home directory is written into a file of the project."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=project, capture_output=True, text=True, check=False).stdout
    found = []
    for name in filter(None, names.split("\0")):
        path = project / name
        if path == Path(__file__) or path.suffix in {".png", ".bin", ".gz", ".zst"} or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{name}: {hit.group()}" for hit in FOREIGN_TO_A_REPOSITORY.finditer(text)]
    assert found == []


def _functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def _length(function: Function) -> int:
    """Lines without the docstring: explaining more must not count against a function."""
    first = function.body[0]
    explained = first.end_lineno - first.lineno + 1 if ast.get_docstring(function) else 0
    return function.end_lineno - function.lineno + 1 - explained


def _classes(tree: ast.Module) -> Iterator[ast.ClassDef]:
    return (node for node in tree.body if isinstance(node, ast.ClassDef))


def _public(tree: ast.Module) -> Iterator[tuple[Function | ast.ClassDef, ast.ClassDef | None]]:
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node, None
            if isinstance(node, ast.ClassDef):
                yield from ((m, node) for m in node.body if isinstance(m, Function) and not m.name.startswith("_"))


def _is_protocol(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).split("[")[0] == "Protocol" for base in node.bases)


def _documented(node: ast.AST) -> bool:
    return isinstance(node, Function) and ast.get_docstring(node) is not None


def _inherits(source, owner: ast.ClassDef, method: Function | ast.ClassDef) -> bool:
    """True when a base class explains the method that this one overrides."""
    cls = getattr(importlib.import_module(source.name), owner.name)
    return bool(inspect.getdoc(getattr(cls, method.name)))


def _annotated(function: Function) -> bool:
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    wanted = [a for a in named if a is not None and a.arg not in ("self", "cls", "mcs")]
    return function.returns is not None and all(a.annotation is not None for a in wanted)
