"""The programs that measure growth and count calls measure what they say."""

from __future__ import annotations

from pathlib import Path

from benchmarks import calls, growth
from benchmarks.side_by_side.sampling import Cost


def test_an_index_is_made_opened_and_asked(tmp_path: Path) -> None:
    asked = growth.ask_index(tmp_path, 6000)
    assert asked.blobs == 6000
    assert asked.size > 6000 * 48
    assert list(tmp_path.iterdir()) == []


def test_the_page_compares_each_tree_with_the_one_before() -> None:
    def costs(processor: float) -> dict[str, Cost]:
        return dict.fromkeys(growth.CASES, Cost(2.0, processor, 50_000_000, 0.1))

    index = growth.Asked(10_000, 500_000, 0.01, 2_000_000, 5.0, 2.0)
    text = growth.rendered({100: costs(1.0), 1000: costs(9.5)}, index)
    assert "| 1,000 | no changes | 2.00 | 9.50 | 9.5 | 50 |" in text
    assert "| 100 | no changes | 2.00 | 1.00 | – | 50 |" in text
    assert "opened in 0.01 s. 5 look-ups" in text


def test_a_tree_has_as_many_files_as_it_says(tmp_path: Path) -> None:
    growth.make_tree(tmp_path, 250)
    assert sum(1 for path in tmp_path.rglob("*.txt") if path.stat().st_size < 30) == 250


def test_calls_are_counted_in_threads_that_begin_meanwhile_too() -> None:
    import threading

    def hundred_calls() -> None:
        for _ in range(100 * calls.FILES):
            len("")

    def in_a_thread() -> None:
        thread = threading.Thread(target=hundred_calls)
        thread.start()
        thread.join()

    assert 100 <= calls.count(in_a_thread)["calls a file"] < 101
