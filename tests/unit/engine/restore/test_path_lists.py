"""Restoring what a list names, and restoring to where things were."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_core.engine.path_lists import ListedPaths, parse_path_list
from backup_core.engine.restore_layout import Landing, lay_in_place, lay_out
from backup_core.errors import ConfigError, RestoreError
from backup_core.results import Outcome
from backup_core.testing.trees import describe, differences


def test_lists_are_lines_or_nul_terminated() -> None:
    assert parse_path_list(b"a\n\nb c \r\n# d\na\n") == (b"a", b"b c ", b"# d")
    assert parse_path_list(b"a\nb\0c\0") == (b"a\nb", b"c")
    assert parse_path_list(b"") == ()


names = st.binary(min_size=1, max_size=4).filter(lambda n: not {0, 10, 13, 47} & set(n) and n not in (b".", b".."))


@given(st.lists(names, min_size=1, max_size=6, unique=True))
def test_what_is_written_is_parsed(paths: list[bytes]) -> None:
    assert parse_path_list(b"\n".join(paths)) == tuple(paths)
    assert parse_path_list(b"".join(p + b"\0" for p in paths)) == tuple(paths)


@given(st.lists(st.lists(names, min_size=1, max_size=4).map(tuple), min_size=1, max_size=5, unique=True))
def test_in_place_is_where_they_were(sources: list[tuple[bytes, ...]]) -> None:
    base, landings = lay_in_place(lay_out(sources))
    assert all(base + landing.place == landing.source and landing.place for landing in landings)


def test_paths_are_absolute_or_below_a_source() -> None:
    landings = lay_out([(b"home", b"u", b"docs"), (b"srv", b"www")])
    listed = ListedPaths([b"/home/u/docs/a", b"docs/b", b"c/d", b"/srv", b"/etc/x"], landings)
    assert all(listed.names(path) for path in (b"docs/a", b"docs/b", b"docs/c/d", b"www/c/d", b"www"))
    assert not listed.names(b"docs/c") and listed.leads_to(b"docs/c") and not listed.leads_to(b"www/e")
    assert listed.missing == (b"/etc/x",)
    assert ListedPaths([b"/"], [Landing((), ())]).everything


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    (root / "deep" / "er").mkdir(parents=True)
    for name in ("a[1].txt", "B.TXT", "deep/c.txt", "deep/er/d.txt", "deep/er/d.tmp", "new\nline"):
        (root / name).write_text(name)
    return root


def restored(path: Path) -> set[str]:
    return {str(p.relative_to(path)) for p in path.rglob("*") if not p.is_dir()}


def test_a_list_selects_exactly(bench, source: Path, tmp_path: Path) -> None:
    snapshot = bench.back_up(source)
    wanted = [os.fsencode(source / "a[1].txt"), b"deep/er", b"new\nline", b"gone"]
    plan = bench.plan(snapshot, tmp_path / "out", listed=wanted, exclude=["*.tmp"])
    assert [p.message for p in plan.problems] == ["gone is on the list and not in the backup"]
    assert bench.run(plan).outcome is Outcome.COMPLETED_WITH_PROBLEMS
    assert restored(tmp_path / "out" / "docs") == {"a[1].txt", "deep/er/d.txt", "new\nline"}


def test_a_list_and_patterns_add_up(bench, source: Path, tmp_path: Path) -> None:
    snapshot = bench.back_up(source)
    bench.restore(snapshot, tmp_path / "out", listed=[b"deep/er/d.tmp"], patterns=["c.*"])
    assert restored(tmp_path / "out" / "docs") == {"deep/er/d.tmp", "deep/c.txt"}
    assert bench.restore(snapshot, tmp_path / "none", listed=[]).files_total == 0


def test_patterns_may_ignore_case(bench, source: Path, tmp_path: Path) -> None:
    snapshot = bench.back_up(source)
    bench.restore(
        snapshot, tmp_path / "out", patterns=["**/*.txt", "/b.txt"], case_insensitive=True, exclude=["/DEEP/er/**"]
    )
    assert restored(tmp_path / "out" / "docs") == {"a[1].txt", "B.TXT", "deep/c.txt"}


def test_in_place_puts_everything_back(bench, source: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "place"
    other.mkdir(parents=True)
    (other / "x").write_text("x")
    snapshot = bench.back_up(source, other)
    before, elsewhere = describe(source), describe(other)
    (source / "B.TXT").write_text("changed since, and longer")
    (source / "deep" / "c.txt").unlink()
    (source / "extra").write_text("mine")
    (other / "x").unlink()
    plan = bench.plan(snapshot, "", in_place=True, delete=True)
    assert (plan.creates, plan.replaces, len(plan.deletes)) == (2, 1, 1)
    assert bench.run(plan).outcome is Outcome.COMPLETED
    assert differences(before, describe(source)) == [] and differences(elsewhere, describe(other)) == []


def test_a_link_above_the_sources_is_followed(bench, source: Path, tmp_path: Path) -> None:
    snapshot = bench.back_up(source)
    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    tmp_path.rename(moved)
    tmp_path.symlink_to(moved)
    (source / "B.TXT").unlink()
    assert bench.restore(snapshot, "", in_place=True).files_restored == 1
    assert (moved / "docs" / "B.TXT").exists()


def test_where_it_was_must_be_known(bench, source: Path) -> None:
    from dataclasses import replace

    snapshot = bench.back_up(source)
    for paths in (("docs",), ("C:\\docs",)):
        with pytest.raises(RestoreError, match="not known"):
            bench.plan(replace(snapshot, paths=paths), "", in_place=True)
    with pytest.raises(ConfigError):
        bench.plan(snapshot, "", in_place=True, overwrite="sometimes")
