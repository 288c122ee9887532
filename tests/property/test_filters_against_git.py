"""Our pattern language must decide like git's, which is the judge everybody can consult."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from backup_core.engine.filters import PatternList, Patterns
from backup_core.errors import ConfigError

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

# "**" is only tried as a whole component: "a**/**" matches "a" in git, since it cuts literal prefixes off before it
# looks for "**".
_COMPONENT = st.lists(
    st.sampled_from(["a", "b", "c", "x", "*", "?", "[ab]", "[!a]", "[a-b]", "[]a]", "\\*", "\\a", "[[:alpha:]]"]),
    min_size=1,
    max_size=3,
).map(lambda parts: re.sub(r"\*{2,}", "*", "".join(parts)))
_BODY = st.lists(st.one_of(_COMPONENT, st.just("**"), st.sampled_from(["a", "b"])), min_size=1, max_size=4).map(
    "/".join
)
_PATTERN = st.builds(
    lambda negation, slash, body, end: f"{negation}{slash}{body}{end}",
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "", "/"]),
    _BODY,
    st.sampled_from(["", "", "/"]),
)
_NAME = st.text("abcx*-", min_size=1, max_size=3)
_PATH = st.lists(_NAME, min_size=1, max_size=4).map("/".join)


@pytest.fixture(scope="module")
def git_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("git")
    subprocess.run(["git", "init", "-q", str(directory)], check=True)
    return directory


def _ignored_by_git(directory: Path, patterns: list[str], paths: list[str]) -> set[str]:
    (directory / ".git" / "info").mkdir(exist_ok=True)
    (directory / ".git" / "info" / "exclude").write_text("\n".join(patterns) + "\n")
    done = subprocess.run(
        ["git", "-C", str(directory), "check-ignore", "--no-index", "--stdin", "-z"],
        input="\0".join(paths).encode(),
        capture_output=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return {p.decode() for p in done.stdout.split(b"\0") if p}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_PATTERN, min_size=1, max_size=4), st.lists(_PATH, min_size=1, max_size=12, unique=True))
def test_excludes_decide_as_gitignore_does(git_directory: Path, patterns: list[str], paths: list[str]) -> None:
    try:
        ours = Patterns(exclude=patterns)
    except ConfigError:
        assume(False)
    expected = _ignored_by_git(git_directory, patterns, paths)
    assert {p for p in paths if not ours.allows(p.encode(), False)} == expected


def _selected(patterns: Patterns, paths: Iterable[str]) -> set[str]:
    return {path for path in paths if patterns.allows(path.encode(), False)}


@settings(max_examples=300, deadline=None)
@given(
    st.lists(_PATTERN, min_size=1, max_size=4), st.lists(_PATTERN, max_size=2),
    st.lists(_PATH, min_size=1, max_size=12, unique=True),
)  # fmt: skip
def test_no_directory_is_passed_over_in_which_something_is_selected(
    include: list[str], exclude: list[str], paths: list[str]
) -> None:
    try:
        patterns = Patterns(include, exclude)
    except ConfigError:
        assume(False)
    with mock.patch.object(PatternList, "leads_on", return_value=True):
        everywhere = _selected(patterns, paths)
    assert _selected(patterns, paths) == everywhere
