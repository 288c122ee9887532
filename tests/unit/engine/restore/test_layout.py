"""Where sources land, and what patterns mean there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_core.engine.filters import Patterns
from backup_core.engine.restore_layout import (
    Landing,
    expand_patterns,
    lay_out,
    lossy,
    original_path,
    printable,
    split_source,
)


def parts(path: str) -> tuple[bytes, ...]:
    return tuple(part.encode() for part in path.split("/") if part)


def places(*sources: str) -> dict[str, str]:
    return {
        "/" + b"/".join(landing.source).decode(): b"/".join(landing.place).decode()
        for landing in lay_out(map(parts, sources))
    }


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["/home/u/docs"], {"/home/u/docs": "docs"}),
        (["/"], {"/": ""}),
        (["/etc", "/home/u/docs"], {"/etc": "etc", "/home/u/docs": "docs"}),
        (["/srv/a/docs", "/srv/b/docs"], {"/srv/a/docs": "a/docs", "/srv/b/docs": "b/docs"}),
        (["/1/a/docs", "/2/a/docs", "/2/pics"], {"/1/a/docs": "1/a/docs", "/2/a/docs": "2/a/docs", "/2/pics": "pics"}),
        # A source inside another one is no place of its own.
        (["/srv", "/srv/a", "/srv"], {"/srv": "srv"}),
        # `a` would hold the others' `a/docs`, so it gives way too.
        (["/a/docs", "/b/docs", "/c/a"], {"/a/docs": "a/docs", "/b/docs": "b/docs", "/c/a": "c/a"}),
        (["/docs", "/b/docs"], {"/docs": "docs", "/b/docs": "b/docs"}),
        ([], {}),
    ],
)  # fmt: skip
def test_each_source_lands_under_as_short_a_name_as_tells_them_apart(sources, expected) -> None:
    assert places(*sources) == expected


name = st.sampled_from([b"a", b"b", b"c"])


@given(st.lists(st.lists(name, min_size=0, max_size=4).map(tuple), max_size=6))
def test_no_place_is_inside_another_and_all_sources_have_one(sources) -> None:
    landings = lay_out(sources)
    for one in landings:
        assert one.source[len(one.source) - len(one.place) :] == one.place
        for other in landings:
            if one is not other:
                assert other.place[: len(one.place)] != one.place
    for source in sources:
        assert any(source[: len(landing.source)] == landing.source for landing in landings)


def test_paths_are_read_as_restic_writes_them() -> None:
    assert split_source("/srv//a/./b/") == ("srv", "a", "b")
    assert split_source("C:\\Users\\me") == ("C", "Users", "me")
    assert split_source("/") == ()


DOCS = lay_out([parts("/home/u/projects"), parts("/srv/letters")])
EVERYTHING = (Landing((), ()),)


@pytest.mark.parametrize(
    ("pattern", "path", "selected"),
    [
        ("*.pdf", b"letters/2026/a.pdf", True),
        ("*.pdf", b"letters/2026/a.txt", False),
        ("project1/*", b"projects/project1/a.txt", True),
        ("projects/project1/*", b"projects/project1/a.txt", True),
        ("projects/project1/*", b"projects/project1/deep/er/a.txt", True),
        ("projects/project1/*", b"projects/project2/a.txt", False),
        ("projects/project1/*", b"letters/copy/projects/project1/a.txt", False),
        ("project1/a.txt", b"projects/deep/project1/a.txt", False),
        ("important.txt", b"letters/deep/important.txt", True),
        ("letters", b"letters/any/thing", True),
        ("/letters/any", b"letters/any/thing", True),
        ("/home/u/projects/one", b"projects/one/a.txt", True),
        ("/home/u/projects/one/", b"projects/one/a.txt", True),
        ("/home/u/projects/one", b"projects/two/a.txt", False),
        ("/home/u", b"projects/two/a.txt", True),
        ("/srv", b"projects/two/a.txt", False),
        ("**/2026/*", b"letters/old/2026/a.txt", True),
    ],
)
def test_patterns_select_what_people_mean(pattern: str, path: bytes, selected: bool) -> None:
    assert Patterns(expand_patterns([pattern], DOCS)).allows(path, False) is selected


def test_negation_keeps_its_place_and_its_meaning() -> None:
    patterns = Patterns(expand_patterns(["*.txt", "!projects/draft/*", "!/srv/letters/old/*"], DOCS))
    assert patterns.allows(b"projects/final/a.txt", False)
    assert not patterns.allows(b"projects/draft/a.txt", False)
    assert not patterns.allows(b"letters/old/a.txt", False)


def test_names_with_signs_of_the_pattern_language_are_not_read_as_such() -> None:
    landings = lay_out([parts("/home/u/[a]*!")])
    patterns = Patterns(expand_patterns(["/home/u/\\[a]\\*!/b", "/home/u/[a]*!/x"], landings))
    assert patterns.allows(b"[a]*!/x", False)
    assert not patterns.allows(b"[a]*!/y", False)


def test_patterns_of_a_whole_tree_start_at_its_top() -> None:
    patterns = Patterns(expand_patterns(["etc/hosts"], EVERYTHING))
    assert patterns.allows(b"etc/hosts", False)
    assert not patterns.allows(b"srv/etc/hosts", False)


def test_shown_names_can_be_printed() -> None:
    assert printable("合同\n".encode()) == "合同\\n"
    assert printable(b"caf\xe9") == "caf\\xe9"
    assert lossy(b"a\xff\xfeb") == "a\ufffd\ufffdb"


def test_the_original_path_can_be_told_from_the_place() -> None:
    landings = lay_out([parts("/srv/a/docs"), parts("/srv/b/docs"), parts("/etc")])
    assert original_path("a/docs/file", landings) == "/srv/a/docs/file"
    assert original_path("etc", landings) == "/etc"
    assert original_path("any/thing", EVERYTHING) == "/any/thing"
