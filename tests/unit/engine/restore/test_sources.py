"""Several sources, single files, relative paths and damaged directories: what lands where, and what is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from backup_core.engine.find import iterate_files
from backup_core.engine.snapshot_walk import find_sources
from backup_core.errors import ConfigError
from backup_core.results import Outcome
from backup_core.testing.trees import describe, differences, make_tree


def below(path: Path) -> set[str]:
    return {str(p.relative_to(path)) for p in path.rglob("*") if not p.is_dir()}


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    made = {}
    for name in ("a/docs", "b/docs", "c/pictures"):
        path = tmp_path / "src" / name
        make_tree(path, seed=len(made) + 1, files=6)
        (path / "notes.txt").write_text(name)
        made[name] = path
    (tmp_path / "src" / "single.txt").write_text("alone")
    return made


def test_several_sources_and_a_file_land_side_by_side(bench, tmp_path: Path, sources) -> None:
    snapshot = bench.back_up(*sources.values(), tmp_path / "src" / "single.txt")
    assert bench.restore(snapshot, tmp_path / "out").outcome is Outcome.COMPLETED
    for name in ("a/docs", "b/docs"):
        assert differences(describe(sources[name]), describe(tmp_path / "out" / name)) == []
    assert differences(describe(sources["c/pictures"]), describe(tmp_path / "out" / "pictures")) == []
    assert (tmp_path / "out" / "single.txt").read_text() == "alone"


def test_a_snapshot_of_relative_paths_is_found_by_the_ending(bench, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "docs", files=4)
    whole = bench.back_up(source)
    nodes = bench.repository.read_tree(whole.tree)
    while nodes[0].name != b"docs":
        tree = nodes[0].subtree
        nodes = bench.repository.read_tree(tree)
    # As restic does with `backup docs`: the paths are absolute all the same.
    relative = replace(whole, tree=tree)
    assert [source.landing.place for source in find_sources(bench.repository, relative)] == [(b"docs",)]
    bench.restore(relative, tmp_path / "out")
    assert differences(describe(source), describe(tmp_path / "out" / "docs")) == []


def test_nothing_is_left_out_when_the_paths_do_not_tell_all(bench, tmp_path: Path, sources) -> None:
    snapshot = bench.back_up(*sources.values())
    wrong = replace(snapshot, paths=(str(sources["a/docs"]), "/not/there"))
    bench.restore(wrong, tmp_path / "out")
    for path in sources.values():
        assert differences(describe(path), describe(Path(f"{tmp_path}/out{path}"))) == []


def test_paths_that_lost_their_bytes_are_found_by_likeness(bench, tmp_path: Path) -> None:
    source = Path(str(tmp_path) + "/caf\udce9")
    source.mkdir()
    (source / "file").write_text("x")
    snapshot = bench.back_up(source)
    lossy = replace(snapshot, paths=(str(tmp_path) + "/caf\ufffd",))
    (found,) = find_sources(bench.repository, lossy)
    assert found.landing.place == (b"caf\xe9",)


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["notes.txt"], {"a/docs/notes.txt", "b/docs/notes.txt", "pictures/notes.txt"}),
        (["pictures/notes.txt"], {"pictures/notes.txt"}),
        (["/docs/notes.txt"], {"a/docs/notes.txt", "b/docs/notes.txt"}),
    ],
)
def test_only_what_patterns_select_is_restored(bench, tmp_path: Path, sources, patterns, expected) -> None:
    snapshot = bench.back_up(*sources.values())
    summary = bench.restore(snapshot, tmp_path / "out", patterns=patterns)
    assert below(tmp_path / "out") == expected
    assert summary.files_total == len(expected)
    # Directories that only lead to something selected are there; others are not.
    assert {p.name for p in (tmp_path / "out").rglob("*") if p.is_dir()} <= {"a", "b", "docs", "pictures"}


def test_excluded_files_stay_away_and_are_not_deleted_as_extras(bench, tmp_path: Path) -> None:
    source = make_tree(tmp_path / "docs", files=4)
    (source / "a.log").write_text("log")
    snapshot = bench.back_up(source)
    out = tmp_path / "out" / "docs"
    out.mkdir(parents=True)
    (out / "mine.log").write_text("not selected")
    (out / "mine.txt").write_text("extra")
    bench.restore(snapshot, tmp_path / "out", exclude=["*.log"], delete=True)
    assert not (out / "a.log").exists()
    assert (out / "mine.log").exists()
    assert not (out / "mine.txt").exists()


def test_patterns_may_ignore_case(bench, tmp_path: Path, sources) -> None:
    snapshot = bench.back_up(*sources.values())
    bench.restore(snapshot, tmp_path / "out", patterns=["NOTES.*"], case_insensitive=True)
    assert len(below(tmp_path / "out")) == 3


def test_a_pattern_that_matches_nothing_says_so(bench, tmp_path: Path, sources) -> None:
    snapshot = bench.back_up(*sources.values())
    summary = bench.restore(snapshot, tmp_path / "out", patterns=["nothing like it"])
    assert [p.kind for p in summary.problems] == ["no-match"]
    assert summary.files_total == 0


def test_a_faulty_pattern_or_policy_is_refused(bench, tmp_path: Path, sources) -> None:
    snapshot = bench.back_up(*sources.values())
    with pytest.raises(ConfigError):
        bench.plan(snapshot, tmp_path / "out", patterns=["[open"])
    with pytest.raises(ConfigError, match="if-newer"):
        bench.plan(snapshot, tmp_path / "out", overwrite="sometimes")


def test_found_paths_are_the_original_ones_and_select_themselves(bench, tmp_path: Path, sources) -> None:
    snapshot = bench.back_up(*sources.values())
    found = [path for path, _ in iterate_files(bench.repository, snapshot, ["notes.txt"])]
    assert found == [str(path / "notes.txt").encode() for path in sources.values()]
    for path in found:
        again = [p for p, _ in iterate_files(bench.repository, snapshot, [path.decode()])]
        assert again == [path]


def test_browsing_costs_no_request_for_packs_the_second_time(bench, tmp_path: Path, sources) -> None:
    snapshot = bench.back_up(*sources.values())
    everything = list(iterate_files(bench.repository, snapshot, directories=True))
    bench.backend.clear()
    assert list(iterate_files(bench.repository, snapshot, directories=True)) == everything
    assert bench.fetched() == []
