"""Ids and the names that are made of them."""

from __future__ import annotations

import pytest

from backup_core.errors import Corrupt
from backup_core.format.ids import blob_id, from_hex, sha256, to_hex
from backup_core.format.layout import (
    DIRECTORIES,
    PACK_DIRECTORIES,
    FileKind,
    file_name,
    id_of,
    is_id,
    pack_directory,
    pack_name,
)
from backup_core.types import PackId

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_ids_are_sha256() -> None:
    assert to_hex(sha256(b"abc")) == to_hex(blob_id(memoryview(b"abc"))) == ABC
    assert from_hex(ABC) == sha256(b"abc")


@pytest.mark.parametrize("text", ["", ABC[:-1], ABC + "0", ABC[:-1] + "g", ABC[:62] + "  ", ABC[:-2] + "é1", None, 7])
def test_what_is_no_id_is_corrupt(text: object) -> None:
    with pytest.raises(Corrupt):
        from_hex(text)  # type: ignore[arg-type] - what JSON from a server may hold


def test_packs_are_spread_by_their_first_byte() -> None:
    pack = PackId(sha256(b"abc"))
    assert pack_name(pack) == f"data/ba/{ABC}" == file_name(FileKind.PACK, ABC)
    assert pack_directory(pack) == "data/ba"
    assert pack_directory(pack) in PACK_DIRECTORIES
    assert len(PACK_DIRECTORIES) == 256
    assert {name.partition("/")[0] for name in PACK_DIRECTORIES} <= set(DIRECTORIES)


@pytest.mark.parametrize("kind", [FileKind.KEY, FileKind.INDEX, FileKind.SNAPSHOT, FileKind.LOCK])
def test_other_files_lie_flat(kind: FileKind) -> None:
    assert file_name(kind, ABC) == f"{kind.value}/{ABC}"
    assert id_of(file_name(kind, ABC)) == ABC
    assert kind.value in DIRECTORIES


def test_the_config_has_no_id() -> None:
    assert file_name(FileKind.CONFIG) == "config"
    with pytest.raises(Corrupt):
        id_of("config")


@pytest.mark.parametrize("text", ["", ABC.upper(), f"{ABC}.tmp", f"{ABC}\n", f"../{ABC}", ABC[:8]])
def test_foreign_names_are_not_ids(text: str) -> None:
    assert not is_id(text)
    with pytest.raises(Corrupt):
        file_name(FileKind.INDEX, text)


def test_a_temporary_file_is_not_a_repository_file() -> None:
    with pytest.raises(Corrupt, match="tmp"):
        id_of(f"data/ba/{ABC}-tmp-123")
