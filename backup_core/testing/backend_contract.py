"""What every backend must do, as tests to inherit from.

A test module makes a subclass of ``BackendContract`` with a ``backend`` fixture that gives an empty backend::

    class TestMemoryBackend(BackendContract):
        @pytest.fixture
        def backend(self):
            return MemoryBackend()
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backup_core.errors import NotFound, ShortRead
from backup_core.storage.backend import Backend, ObjectInfo
from backup_core.storage.file_slices import FileSlices

NAME = "data/3f/3f0a5c"
CONTENT = bytes(range(256)) * 40


class BackendContract:
    """Tests that hold for any backend; each starts with an empty one."""

    largest = 3 * 1024 * 1024 + 7
    """Bytes of the biggest object that the tests store."""

    @pytest.fixture
    def backend(self) -> Backend:
        """An empty backend; every subclass gives its own."""
        pytest.fail("a subclass gives the backend to test")

    def test_a_stored_object_reads_back_whole(self, backend: Backend) -> None:
        backend.put(NAME, CONTENT)
        assert backend.get(NAME) == CONTENT

    def test_several_buffers_become_one_object(self, backend: Backend) -> None:
        backend.put(NAME, [b"one", bytearray(b"two"), memoryview(b"-three-")[1:6], b""])
        assert backend.get(NAME) == b"onetwothree"

    def test_part_of_a_file_becomes_an_object(self, backend: Backend, tmp_path: Path) -> None:
        content = random.Random(3).randbytes(600_000)
        (tmp_path / "file").write_bytes(b"before" + content + b"after")
        with (tmp_path / "file").open("rb") as file:
            backend.put("data/ab/part", FileSlices(file.fileno(), 6, len(content)))
        assert backend.get("data/ab/part") == content
        assert backend.stat("data/ab/part").size == len(content)

    def test_a_large_object_survives(self, backend: Backend) -> None:
        content = (CONTENT * (self.largest // len(CONTENT) + 1))[: self.largest]
        backend.put(NAME, [memoryview(content)[:1000], memoryview(content)[1000:]])
        assert backend.get(NAME) == content

    def test_an_empty_object_is_an_object(self, backend: Backend) -> None:
        backend.put("locks/empty", b"")
        assert backend.get("locks/empty") == b""
        assert backend.stat("locks/empty").size == 0
        assert [o.size for o in backend.list("locks").objects] == [0]

    def test_an_object_in_the_root_needs_no_directory(self, backend: Backend) -> None:
        backend.put("config", b"c")
        assert backend.get("config") == b"c"
        assert ObjectInfo("config", 1) in backend.list("").objects

    @pytest.mark.parametrize(("offset", "length"), [(0, 10), (5, 1), (100, None), (0, None), (10239, 1), (0, 10240)])
    def test_a_range_gives_exactly_those_bytes(self, backend: Backend, offset: int, length: int | None) -> None:
        backend.put(NAME, CONTENT)
        end = None if length is None else offset + length
        assert backend.get(NAME, offset=offset, length=length) == CONTENT[offset:end]

    def test_a_range_at_the_very_end_is_empty(self, backend: Backend) -> None:
        backend.put(NAME, CONTENT)
        assert backend.get(NAME, offset=len(CONTENT)) == b""

    @pytest.mark.parametrize(("offset", "length"), [(10230, 11), (10241, None), (20000, 5)])
    def test_a_range_beyond_the_end_is_a_short_read(self, backend: Backend, offset: int, length: int | None) -> None:
        backend.put(NAME, CONTENT)
        with pytest.raises(ShortRead):
            backend.get(NAME, offset=offset, length=length)

    def test_what_is_not_there_is_not_found(self, backend: Backend) -> None:
        backend.put("data/00/other", b"x")
        for name in ("data/00/absent", "data/01/absent", "absent"):
            with pytest.raises(NotFound) as caught:
                backend.get(name)
            assert caught.value.key == name
            with pytest.raises(NotFound):
                backend.stat(name)

    def test_the_size_of_an_object(self, backend: Backend) -> None:
        backend.put(NAME, CONTENT)
        assert backend.stat(NAME) == ObjectInfo(NAME, len(CONTENT))

    def test_putting_again_is_a_success_and_the_last_size_stays(self, backend: Backend) -> None:
        backend.put(NAME, CONTENT[:100])
        backend.put(NAME, CONTENT)
        backend.put(NAME, CONTENT)
        assert backend.get(NAME) == CONTENT

    def test_a_listing_shows_objects_and_directories_of_that_level_only(self, backend: Backend) -> None:
        for name in ("config", "data/00/a", "data/00/b", "data/01/c", "index/d"):
            backend.put(name, name.encode())
        root, data, leaf = backend.list(""), backend.list("data"), backend.list("data/00")
        assert [o.name for o in root.objects] == ["config"]
        assert set(root.directories) == {"data", "index"}
        assert (data.objects, set(data.directories)) == ((), {"data/00", "data/01"})
        assert set(leaf.objects) == {ObjectInfo("data/00/a", 9), ObjectInfo("data/00/b", 9)}
        assert leaf.directories == ()
        assert all(listing.exists and listing.proved_complete for listing in (root, data, leaf))

    def test_a_directory_that_is_not_there_is_said_to_be_absent(self, backend: Backend) -> None:
        backend.put("config", b"c")
        for directory in ("snapshots", "data/7f"):
            listing = backend.list(directory)
            assert (listing.exists, listing.objects, listing.proved_complete) == (False, (), True)

    def test_a_deleted_object_is_gone(self, backend: Backend) -> None:
        backend.put("locks/one", b"1")
        backend.put("locks/two", b"2")
        backend.delete("locks/one")
        assert [o.name for o in backend.list("locks").objects] == ["locks/two"]
        with pytest.raises(NotFound):
            backend.get("locks/one")

    def test_deleting_what_is_not_there_is_no_error(self, backend: Backend) -> None:
        backend.delete("locks/never")
        backend.put("locks/one", b"1")
        backend.delete("locks/one")
        backend.delete("locks/one")

    @pytest.mark.parametrize("name", ["", "/config", "data//x", "../config", "data/../x", "a/./b", "x/", "nul\0"])
    def test_names_that_could_leave_the_root_are_refused(self, backend: Backend, name: str) -> None:
        with pytest.raises(ValueError):
            backend.put(name, b"x")

    def test_a_range_that_makes_no_sense_is_refused(self, backend: Backend) -> None:
        backend.put(NAME, CONTENT)
        for offset, length in ((-1, None), (0, -1)):
            with pytest.raises(ValueError):
                backend.get(NAME, offset=offset, length=length)

    def test_many_threads_at_once(self, backend: Backend) -> None:
        names = [f"data/{i % 4:02x}/{i:04x}" for i in range(32)]

        def work(name: str) -> bytes:
            backend.put(name, name.encode() * 100)
            return backend.get(name)

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(work, names)) == [name.encode() * 100 for name in names]
        assert sum(len(backend.list(f"data/{i:02x}").objects) for i in range(4)) == 32

    def test_requests_and_bytes_are_counted(self, backend: Backend) -> None:
        before = backend.requests.total
        backend.put(NAME, CONTENT)
        backend.get(NAME)
        assert backend.requests.total >= before + 2
        assert backend.requests.bytes_up >= len(CONTENT)
        assert backend.requests.bytes_down >= len(CONTENT)

    def test_space_is_told_in_bytes_or_not_at_all(self, backend: Backend) -> None:
        backend.put(NAME, CONTENT)
        space = backend.space()
        assert all(value is None or value >= 0 for value in (space.used, space.available))
