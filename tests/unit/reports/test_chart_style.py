"""Charts of a first day, when there is one point of everything."""

from __future__ import annotations

from datetime import datetime

from backup_core.reports.chart_style import Chart

DAY = datetime(2026, 11, 23)


def test_a_single_day_is_a_dot_on_an_axis_of_days() -> None:
    chart = Chart("one day")
    (line,) = chart.axes.plot([DAY], [5])
    chart.date_axis()
    low, high = chart.axes.get_xlim()
    assert high - low == 6
    assert line.get_marker() == "o"


def test_several_days_stay_a_line() -> None:
    chart = Chart("two days")
    (line,) = chart.axes.plot([DAY, DAY.replace(day=24)], [5, 6])
    chart.date_axis()
    assert line.get_marker() == "None"


def test_durations_that_are_alike_have_labels_all_the_same() -> None:
    chart = Chart("durations")
    chart.axes.plot([1, 2], [3.1, 3.3], "o")
    chart.axes.set_yscale("log")
    chart.values_axis(lambda value: f"{value:g} s", from_zero=False)
    low, high = chart.axes.get_ylim()
    assert sum(low <= tick <= high for tick in chart.axes.get_yticks()) >= 1
