"""Plans say all that is wrong with them at once, survive a file, and never hold a circle."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_core.config.durations import duration_text, parse_duration
from backup_core.config.recovery_plan_files import dump_plans, load_plans, parse_plans
from backup_core.config.recovery_plans import RecoveryPlan, plan_in_order
from backup_core.errors import ConfigError

TEXT = """
[plans."主站"]
description = "everything \\"quoted\\""
target_base_path = "/srv/recovery"
on_failure = "stop"
rto = "4h"
rpo = "1d 12h"
notification_email = "admin@example.com, ops@example.com"
notify = ["env:OPS_CHANNEL"]

[[plans."主站".steps]]
name = "database"
configuration = "数据库备份"
at = 2025-10-31T02:00:00+08:00
before = [{ command = "systemctl stop shop", timeout = "5m" }]

[[plans."主站".steps.after]]
command = ["pg_restore", "--dbname=shop", "{target}/shop.dump"]
timeout = "2h"

[[plans."主站".steps.checks]]
kind = "sqlite"
path = "dumps/shop.db"

[[plans."主站".steps.checks]]
kind = "postgresql"
connection = "dbname=shop"
password = "env:PGPASSWORD"
query = "select count(*) > 0 from orders"
expect = "t"

[[plans."主站".steps]]
name = "uploads"
configuration = "用户上传文件"
depends_on = ["database"]
target = "/srv/uploads"
patterns = ["*.pdf"]

[[plans."主站".steps.checks]]
kind = "http"
url = "http://127.0.0.1:8080/health"

[[plans."主站".steps.checks]]
kind = "file"
path = "index.txt"
"""


def steps(**dependencies: list[str]) -> list[dict[str, object]]:
    return [{"name": name, "configuration": name, "depends_on": on} for name, on in dependencies.items()]


def plan(**fields: object) -> RecoveryPlan:
    return RecoveryPlan.model_validate({"name": "p", "target_base_path": "/t", **fields})


def test_a_file_says_what_the_plan_is() -> None:
    (read,) = parse_plans(TEXT)
    database, uploads = read.steps
    assert (read.rto, read.rpo, read.addresses) == (14400, 129600, ["admin@example.com", "ops@example.com"])
    assert database.at == datetime(2025, 10, 30, 18, tzinfo=UTC)
    assert database.before[0].command == "systemctl stop shop"
    assert database.after[0].command == ["pg_restore", "--dbname=shop", "{target}/shop.dump"]
    assert database.place(read.base) == Path("/srv/recovery/database")
    assert uploads.place(read.base) == Path("/srv/uploads")
    assert [check.kind for step in read.steps for check in step.checks] == ["sqlite", "postgresql", "http", "file"]
    assert [check.in_drill for step in read.steps for check in step.checks] == [True, False, False, True]


def test_a_plan_survives_a_file_and_the_catalogue(tmp_path: Path) -> None:
    (read,) = parse_plans(TEXT)
    file = tmp_path / "plans.toml"
    file.write_text(dump_plans([read]))
    assert load_plans(file) == [read]
    assert RecoveryPlan.model_validate(read.record()) == read
    assert 'timeout = "2h"' in file.read_text() and "parallel" not in file.read_text()


def test_all_problems_are_told_at_once() -> None:
    broken = TEXT.replace('"stop"', '"panic"').replace('kind = "sqlite"', 'kind = "oracle"').replace("4h", "4 moons")
    broken = broken.replace('"env:PGPASSWORD"', '"hunter2"').replace("/srv/uploads", "../etc")
    with pytest.raises(ConfigError) as caught:
        parse_plans(broken, source="p.toml")
    text = "\n".join(caught.value.problems)
    for word in ("on_failure", "rto", "oracle", "password", 'may not hold ".."'):
        assert word in text, text
    assert "hunter2" not in text
    assert all(problem.startswith("plans.主站.") for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("dependencies", "problem"),
    [
        ({"a": ["b"], "b": ["c"], "c": ["a"]}, "circle"),
        ({"a": ["a"]}, "circle"),
        ({"a": ["x"]}, "which is no step"),
    ],
)
def test_circles_and_strangers_are_refused(dependencies: dict[str, list[str]], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        plan(steps=steps(**dependencies))


def test_two_configurations_do_not_share_a_directory() -> None:
    one = {"name": "a", "configuration": "x", "target": "same"}
    with pytest.raises(ConfigError, match="same directory"):
        plan(steps=[one, {"name": "b", "configuration": "y", "target": "same"}])
    assert len(plan(steps=[one, {"name": "b", "configuration": "x", "target": "same"}]).steps) == 2
    with pytest.raises(ConfigError, match="named twice"):
        plan(steps=[one, one])


def test_a_recovery_order_is_a_plan_with_one_step_at_a_time() -> None:
    made = plan_in_order(["b", "a"], name="p", target_base_path="~/t")
    assert [step.name for step in made.steps] == ["b", "a"]
    assert (made.parallel, made.on_failure) == (1, "continue")
    assert Path(made.target_base_path).is_absolute()


@given(st.data())
def test_the_order_keeps_every_dependency(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1))
    dependencies = {
        name: data.draw(st.lists(st.sampled_from(names[:i]), unique=True)) if i else [] for i, name in enumerate(names)
    }
    order = list(plan(steps=steps(**dependencies)).sorter().static_order())
    assert sorted(order) == sorted(names)
    assert all(order.index(on) < order.index(name) for name in names for on in dependencies[name])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5h", 5400), ("1d 12h", 129600), ("2 weeks", 1209600), ("5min", 300)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "4 moons", "h4", "-1h"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(st.integers(0, 10**9))
def test_durations_are_written_as_they_are_read(milliseconds: int) -> None:
    assert parse_duration(duration_text(milliseconds / 1000)) == pytest.approx(milliseconds / 1000, abs=1e-6)
