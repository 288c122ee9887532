"""The commands for keys and for repairs, from the outside."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def docs(davault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration with a backup; the directory that holds the repository."""
    monkeypatch.setenv("DOCS_KEY", "a long enough key, is it not")
    source = tmp_path / "source"
    source.mkdir()
    (source / "one.txt").write_text("one" * 1000)
    davault("client", "add", "disk", "--url", str(tmp_path / "store"))
    davault(
        "config", "add", "docs", "--client", "disk", "--path", "/r", "--source", str(source), "--key-env", "DOCS_KEY"
    )
    davault("backup", "docs")
    return tmp_path / "store" / "r"


@pytest.mark.usefixtures("full_cost")
def test_keys_from_the_first_to_the_last(davault, docs: Path, tmp_path: Path) -> None:
    made = tmp_path / "safe.key"
    davault("key", "add", "docs", "--generate", str(made), "--scrypt", "1024:8:1", "--json")
    assert made.stat().st_mode & 0o777 == 0o600
    keys = davault("key", "list", "docs", "--json").document["keys"]
    assert [(key["current"], key["cheap"]) for key in keys] == [(True, False), (False, True)]
    assert keys[1]["scrypt"] == {"n": 1024, "r": 8, "p": 1}
    assert "passwords are cheap to try" in davault("key", "list", "docs").stdout
    davault("key", "remove", "docs", keys[0]["id"], code=1)
    assert davault("key", "remove", "docs", keys[1]["id"][:8], "--json").document["removed"] == keys[1]["id"]
    changed = davault("key", "change", "docs", "--json")
    assert changed.document["configurations"] == ["docs"]
    assert (
        davault("config", "show", "docs", "--json").document["config"]["key_source"] == changed.document["key_source"]
    )
    davault("backup", "docs")


@pytest.mark.parametrize(
    "words",
    [
        ["key", "add", "docs"],
        ["key", "add", "docs", "--new-key-env", "A", "--generate", "b"],
        ["key", "change", "docs", "--new-key-env", "A", "--new-key-file", "b"],
        ["key", "change", "docs", "--scrypt", "7:8:1"],
        ["key", "change", "docs", "--scrypt", "lots"],
    ],
)
def test_what_makes_no_sense_is_refused(davault, docs: Path, words: list[str]) -> None:
    davault(*words, code=2)


def test_a_key_file_is_never_overwritten(davault, docs: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    davault("key", "add", "docs", "--generate", str(tmp_path / "precious"), code=5)
    assert (tmp_path / "precious").read_text() == "x"


def test_a_damaged_repository_is_repaired(davault, docs: Path, tmp_path: Path) -> None:
    assert davault("repair", "index", "docs", "--json").document["packs_listed"] == 0
    for index in (docs / "index").iterdir():
        index.write_bytes(b"broken")
    data = max((p for p in (docs / "data").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    data.write_bytes(b"broken" * 100)
    plan = davault("repair", "index", "docs", "--dry-run", "--json", code=4)
    assert plan.document["put_back"]
    davault("repair", "index", "docs", code=4)  # a pack has the wrong size
    found = davault("repair", "packs", "docs", "--dry-run", "--json", code=4)
    assert [one["pack"] for one in found.document["damaged"]] == [data.name]
    done = davault("repair", "packs", "docs", "--json", code=None)
    assert done.document["damaged"] and Path(done.document["kept_in"], data.name).read_bytes() == b"broken" * 100
    davault("repair", "index", "docs", "--json")
    davault("backup", "docs", "--type", "full")
    assert davault("repair", "snapshots", "docs", "--forget", "--json", code=None).code in (0, 4)
    davault("validate", "--config", "docs", "--depth", "data")
    davault("prune", "docs")


def test_parity_from_its_making_to_the_day_it_is_needed(davault, docs: Path, tmp_path: Path, restic) -> None:
    nothing = davault("parity", "status", "docs", "--json").document
    assert (nothing["protected"], nothing["objects"]) == (0, 0) and nothing["packs"] >= 2
    davault("parity", "create", "docs", code=5)  # nobody has said how much
    davault("parity", "create", "docs", "--share", "most", code=2)
    planned = davault("parity", "create", "docs", "--share", "100%", "--dry-run", "--json").document
    assert (planned["packs"], planned["objects"]) == (nothing["packs"], 0) and not (docs / "parity").exists()
    assert "would be stored" in davault("parity", "create", "docs", "--share", "100%", "--dry-run").stdout
    assert davault("parity", "create", "docs", "--share", "100%", "--json").document["objects"] == 1

    davault("config", "edit", "docs", "--parity", "100%")
    (tmp_path / "source" / "two.txt").write_text("two" * 1000)
    davault("backup", "docs")  # and its parity, from what this machine has at hand
    state = davault("parity", "status", "docs", "--read-data", "--json").document
    assert state["protected"] == state["packs"] > nothing["packs"]
    assert (state["objects"], state["stale"], state["problems"]) == (2, 0, [])
    assert "no errors were found" in restic.check(docs, "a long enough key, is it not")

    packs = sorted(path for path in (docs / "data").rglob("*") if path.is_file())
    before = {path: path.read_bytes() for path in packs}
    for number, pack in enumerate(packs):
        pack.unlink() if number % 2 else pack.write_bytes(before[pack][:-9])
    done = davault("repair", "packs", "docs", "--json").document
    assert sorted(done["rebuilt"]) == sorted(path.name for path in packs) and done["lost"] == []
    assert {path: path.read_bytes() for path in packs} == before
    davault("validate", "--config", "docs", "--depth", "data")

    davault("cleanup", "docs", "--keep-last", "1", "--yes")
    davault("prune", "docs", "--max-unused", "0")
    davault("parity", "create", "docs")
    after = davault("parity", "status", "docs", "--json").document
    assert (after["protected"], after["stale"]) == (after["packs"], 0)
