"""What the comparison with other programs computes from what it saw."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.side_by_side.data_sets import DATA_SETS, ensure, one_file
from benchmarks.side_by_side.page import BEGIN, END, write_page
from benchmarks.side_by_side.ratios import Spread, rows
from benchmarks.side_by_side.results import Proof, Results, Run, load, save
from benchmarks.side_by_side.sampling import memory_of_tree, proportional_set_size
from benchmarks.side_by_side.server_log import Traffic, traffic
from benchmarks.side_by_side.shaping_proxy import Lane


def run(peer: str, wall: float, *, session: str = "1", case: str = "first", scale: float = 1.0) -> Run:
    return Run(session, "code", scale, "loopback", case, peer, "1.0", wall, wall, 1000, 10, 5, 3, 100)


def test_a_ratio_is_formed_of_medians_of_one_session() -> None:
    (row,) = rows(
        [
            *(run("davault", wall) for wall in (3.0, 1.0, 2.0)),
            *(run("restic-0.18", wall) for wall in (4.0, 10.0, 3.0)),
            run("davault", 50.0, session="0"),
            run("restic-0.18", 50.0, session="0"),
        ]
    )
    assert row.ratio("restic-0.18", lambda each: each.wall) == 0.5
    assert row.spread("restic-0.18", lambda each: each.wall) == Spread(4.0, 3.0, 10.0)


def test_a_peer_that_a_newer_session_left_out_is_compared_with_the_session_that_had_it() -> None:
    (row,) = rows(
        [run("davault", 6.0, session="1"), run("duplicity", 12.0, session="1"), run("davault", 3.0, session="2")]
    )
    assert row.ratio("duplicity", lambda each: each.wall) == 0.5
    assert row.spread("davault", lambda each: each.wall) == Spread(3.0, 3.0, 3.0)


def test_what_was_not_measured_has_no_ratio() -> None:
    (row,) = rows([run("davault", 1.0), run("restic-0.18", 2.0, session="other"), run("davault", 1.0, scale=0.1)])
    assert row.ratio("restic-0.18", lambda each: each.wall) is None
    assert row.spread("floor", lambda each: each.wall) is None


def test_requests_and_bytes_are_those_of_the_log() -> None:
    lines = ["PUT /a%20b/c 201 1200 300", "GET /x 200 150 90000", "PROPFIND /x/ 207 200 1000"]
    assert traffic(lines) == Traffic(3, 1550, 91300)


def test_memory_is_the_proportional_set_size() -> None:
    assert (
        proportional_set_size("aaa-bbb ---p 00000000 00:00 0 [rollup]\nRss: 900 kB\nPss:  512 kB\nPss_Anon: 9 kB\n")
        == 524288
    )
    assert proportional_set_size("") == 0
    assert memory_of_tree(os.getpid()) > 1_000_000


def test_a_lane_shares_its_bandwidth_and_delays_everything_alike() -> None:
    lane = Lane(bytes_per_second=1000, delay=0.5)
    assert lane.arrival(10.0, 100) == pytest.approx(10.6)
    assert lane.arrival(10.0, 100) == pytest.approx(10.7), "the first piece still holds the line"
    assert lane.arrival(20.0, 100) == pytest.approx(20.6)


def test_results_are_kept_and_added_to(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    assert load(path, "m") == Results("m")
    full = Results("m").with_more([run("davault", 1.0)], [Proof("1", "code", "davault", "restic", True)])
    save(full, path)
    assert load(path, "m") == full
    assert load(path, "another machine") == Results("another machine")


def test_only_the_measured_part_of_the_page_changes(tmp_path: Path) -> None:
    (tmp_path / "benchmarks.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    found = Results("m", (run("davault", 1.0), run("restic-0.18", 2.0)), (Proof("1", "code", "davault", "r", False),))
    write_page(found, tmp_path)
    page = (tmp_path / "benchmarks.md").read_text()
    assert page.startswith(f"before\n{BEGIN}\n")
    assert page.endswith(f"\n{END}\nafter\n")
    assert "old" not in page
    assert "| code | first backup | 0.50 | – | 0.50 | 1.00 | 1.00 | 1.00 |" in page
    assert "code, davault: **damage found** (r)" in page
    assert "<svg" in (tmp_path / "benchmarks.svg").read_text()


@pytest.mark.parametrize("name", ["code", "million"])
def test_data_are_the_same_each_time_and_one_per_cent_changes(tmp_path: Path, name: str) -> None:
    chosen = DATA_SETS[name]
    scale = {"code": 0.002, "million": 0.001}[name]
    folders = [ensure(chosen, tmp_path / side, scale) for side in ("a", "b")]

    def content(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    before = content(folders[0])
    assert before == content(folders[1])
    assert one_file(folders[0]).is_file()
    chosen.change(folders[0], 1)
    after = content(folders[0])
    assert sum(after[path] != before[path] for path in before) == len(before) // 100
    assert len(after) == len(before)
