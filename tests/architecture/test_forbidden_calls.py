"""Time, chance and output come from outside: nothing in the library reaches for them behind its caller's back."""

from __future__ import annotations

import ast
from collections.abc import Iterator

TIME = {
    "time.time", "time.time_ns", "time.sleep", "time.monotonic", "time.monotonic_ns", "time.perf_counter",
    "time.perf_counter_ns", "time.localtime", "time.gmtime", "time.strftime", "time.ctime",
    "datetime.now", "datetime.utcnow", "datetime.today", "date.today",
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today",
}  # fmt: skip
CHANCE = {
    "os.urandom", "uuid.uuid4", "uuid.uuid1", "random.random", "random.uniform", "random.randrange", "random.choice",
    "secrets.token_bytes", "secrets.token_hex", "secrets.randbelow",
}  # fmt: skip
OUTPUT = {"print", "input", "breakpoint", "sys.stdout.write", "sys.stderr.write"}
DANGER = {"eval", "exec", "pickle.load", "pickle.loads", "os.system", "os.popen"}
PURE = ("backup_core.format",)
HANDED_CHANCE = ("backup_core.format", "backup_core.storage", "backup_core.repository", "backup_core.engine")
MAY_TALK = ("backup_core.cli", "backup_core.services.embedded", "flows", "deployments")
FILES = {"open", "os.open", "io.open", "os.scandir", "os.listdir", "os.stat", "os.lstat", "mmap.mmap", "socket.socket"}


def test_only_the_clock_reads_the_time(sources) -> None:
    assert _calls(sources, TIME, lambda s: s.name != "backup_core.clock") == []


def test_chance_is_handed_in(sources) -> None:
    # The nonce of a sealed box is the exception: nobody may ever be able to make it repeat.
    assert _calls(sources, CHANCE, lambda s: s.below(*HANDED_CHANCE) and s.name != "backup_core.format.cipher") == []


def test_the_library_does_not_talk(sources) -> None:
    assert _calls(sources, OUTPUT, lambda s: not s.below(*MAY_TALK)) == []


def test_the_format_does_no_input_or_output(sources) -> None:
    assert _calls(sources, FILES, lambda s: s.below(*PURE)) == []


def test_nothing_is_evaluated_or_unpickled(sources) -> None:
    assert _calls(sources, DANGER, lambda s: True) == []


def test_no_error_is_swallowed_whole(sources) -> None:
    silent = [
        f"{source.path}:{handler.lineno}"
        for source in sources
        for handler in ast.walk(source.tree)
        if isinstance(handler, ast.ExceptHandler) and _catches_everything(handler) and _does_nothing(handler)
    ]
    assert silent == []


def _catches_everything(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or ast.unparse(handler.type) in ("Exception", "BaseException")


def _does_nothing(handler: ast.ExceptHandler) -> bool:
    return all(isinstance(statement, ast.Pass | ast.Continue) for statement in handler.body)


def _calls(sources, names, applies) -> list[str]:
    return [
        f"{source.path}:{line} {name}"
        for source in sources
        if applies(source)
        for name, line in _called(source.tree)
        if name in names
    ]


def _called(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Names that are called, or handed on to be called, with ``from x import y as z`` traced back to ``x.y``."""
    origin = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            origin |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            origin |= {alias.asname: alias.name for alias in node.names if alias.asname}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)):
            head, *rest = ast.unparse(node).split(".")
            yield ".".join([origin.get(head, head), *rest]), node.lineno
