"""Include and exclude patterns."""

from __future__ import annotations

import pytest

from backup_core.engine.filters import Patterns, Verdict
from backup_core.errors import ConfigError


def kept(patterns: Patterns, *paths: str) -> list[str]:
    return [p for p in paths if patterns.allows(p.rstrip("/").encode(), p.endswith("/"))]


def test_without_patterns_everything_is_kept() -> None:
    assert kept(Patterns(), "a", "a/b", "c/") == ["a", "a/b", "c/"]
    assert not Patterns().selects_files


def test_include_patterns_select_files_and_walk_all_directories() -> None:
    patterns = Patterns(include=["*.txt", "*.pdf"])
    assert patterns.selects_files
    assert kept(patterns, "a.txt", "a.log", "deep/er/b.pdf", "deep/", "txt") == ["a.txt", "deep/er/b.pdf", "deep/"]


def test_an_included_directory_brings_all_that_is_below_it() -> None:
    patterns = Patterns(include=["projects/project1/*", "!*.tmp"])
    assert kept(patterns, "projects/project1/a", "projects/project1/sub/b", "projects/project1/sub/c.tmp") == [
        "projects/project1/a",
        "projects/project1/sub/b",
    ]
    assert kept(patterns, "projects/project2/a", "x/projects/project1/a") == []


def test_nothing_below_an_excluded_directory_comes_back() -> None:
    patterns = Patterns(exclude=["cache/", "!cache/keep"])
    assert kept(patterns, "cache/keep", "a/cache/keep", "cache") == ["cache"]


def test_the_last_matching_exclude_decides() -> None:
    patterns = Patterns(exclude=["*.log", "!important.log", "/important.log"])
    assert kept(patterns, "a.log", "sub/important.log", "important.log") == ["sub/important.log"]


def test_excludes_win_over_includes() -> None:
    patterns = Patterns(include=["*.txt"], exclude=["secret*"])
    assert kept(patterns, "a.txt", "secret.txt", "secrets/a.txt") == ["a.txt"]


def test_two_stars_span_directories_and_one_does_not() -> None:
    assert kept(Patterns(include=["src/**/test_*"]), "src/test_a", "src/x/y/test_b", "lib/test_c") == [
        "src/test_a",
        "src/x/y/test_b",
    ]
    assert kept(Patterns(exclude=["a/*.o"]), "a/x.o", "a/b/x.o") == ["a/b/x.o"]


def test_case_only_counts_where_it_is_asked_to() -> None:
    assert kept(Patterns(include=["*.JPG", "Ärger"]), "a.jpg", "ärger", "b.JPG") == ["b.JPG"]
    assert kept(Patterns(include=["*.JPG", "Ärger"], case_insensitive=True), "a.jpg", "ärger") == ["a.jpg", "ärger"]


def test_a_question_mark_stands_for_one_character_not_one_byte() -> None:
    assert kept(Patterns(include=["报告?.txt"]), "报告一.txt", "报告一二.txt") == ["报告一.txt"]


def test_names_that_are_not_utf8_can_be_matched() -> None:
    patterns = Patterns(exclude=["caf?.txt"])
    assert not patterns.allows(b"caf\xe9.txt", False)
    assert patterns.allows(b"caf\xe9\xe9.txt", False)


def test_names_with_line_breaks_are_matched_whole() -> None:
    assert kept(Patterns(exclude=["*.tmp"]), "a\nb.tmp", "a.tmp\n") == ["a.tmp\n"]


def test_absolute_patterns_speak_of_the_source_they_begin_with() -> None:
    patterns = Patterns(exclude=["/home/u/docs/build", "/top", "!/home/u/docs/build/keep"]).below(b"/home/u/docs")
    assert kept(patterns, "build/x", "top", "sub/build", "sub/top") == ["sub/build", "sub/top"]
    other = Patterns(exclude=["/home/u/docs/build"]).below(b"/srv")
    assert kept(other, "build/x") == ["build/x"]
    assert kept(Patterns(exclude=["/etc/shadow"]).below(b"/"), "etc/shadow", "etc/passwd") == ["etc/passwd"]


def test_a_walk_judges_as_allows_does() -> None:
    patterns = Patterns(include=["docs/"])
    assert patterns.at_root == Verdict(True, False)
    top = patterns.judge(b"docs", is_directory=True, inside=False)
    assert top == Verdict(True, True)
    assert patterns.judge(b"docs/a", is_directory=False, inside=top.inside).keep
    assert patterns.judge(b"other", is_directory=True, inside=False) == Verdict(True, False)


def test_every_faulty_pattern_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        Patterns(include=["", "ok", "a["], exclude=["ok"])
    assert len(caught.value.problems) == 2
    with pytest.raises(ConfigError) as caught:
        Patterns(exclude=["!", "/", "a//b", "x\\", "[[:what:]]"])
    assert len(caught.value.problems) == 5


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("./a", "a", True),
        ("./a", "b/a", False),
        ("\\!a", "!a", True),
        ("\\[a", "[a", True),
        ("a[b-", "a", None),
        ("[z-a]", "m", False),
        ("[!z-a]", "m", True),
        ("[a-]", "-", True),
        ("[]-a]", "^", True),
        ("***", "x/y", True),
        ("**/", "x", False),
        ("[[:digit:][:upper:]]x", "7x", True),
        ("[\\]]", "]", True),
    ],
)
def test_corners_of_the_language(pattern: str, path: str, matches: bool | None) -> None:
    if matches is None:
        with pytest.raises(ConfigError):
            Patterns(exclude=[pattern])
    else:
        assert Patterns(exclude=[pattern]).allows(path.encode(), False) is not matches
