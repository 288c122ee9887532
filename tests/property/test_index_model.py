"""The index on disk answers like a dictionary, whatever was added, listed, merged, hidden and loaded again."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from backup_core.format.pack import pack_size_of
from backup_core.repository.index import Index, IndexView
from backup_core.repository.index_builder import SegmentBuilder, merge_segments
from backup_core.repository.index_segment import Segment
from backup_core.types import BlobId, BlobLocation, BlobType, IndexId, PackedBlob, PackId

# Few prefixes, so that buckets are crowded, and the extremes, where tables begin and end.
ids = st.builds(
    lambda head, tail: BlobId(bytes(head) + b"\x55" * 28 + tail.to_bytes(2, "big")),
    st.sampled_from([(0, 0), (0, 1), (0, 255), (127, 128), (255, 254), (255, 255)]),
    st.integers(0, 40),
)
entries = st.lists(
    st.tuples(ids, st.sampled_from(BlobType), st.integers(32, 1 << 32).map(lambda n: n - 1), st.integers(0, 1 << 31)),
    min_size=1,
    max_size=12,
    unique_by=lambda entry: entry[0],
)


class IndexModel(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name)
        self.files = 0
        self.packs: dict[PackId, list[PackedBlob]] = {}
        self.unlisted: list[PackId] = []
        self.hidden: set[PackId] = set()
        self.index = Index(save=self.save, tidy=self.tidy)

    def save(self, name: IndexId, packs: object) -> Segment:
        with SegmentBuilder(self.path, spill_bytes=400) as builder:
            builder.add_index(name, packs)  # type: ignore[arg-type]
            return Segment(builder.write(self.new_path()))

    def tidy(self, segments: object) -> list[Segment]:
        segments = list(segments)  # type: ignore[call-overload]
        return segments if len(segments) < 4 else [Segment(merge_segments(segments, self.new_path()))]

    def new_path(self) -> Path:
        self.files += 1
        return self.path / f"{self.files}.segment"

    @rule(found=entries)
    def store(self, found: list[tuple[BlobId, BlobType, int, int]]) -> None:
        pack = PackId(len(self.packs).to_bytes(32, "little"))
        blobs, offset = [], 0
        for blob, kind, length, plain in found:
            blobs.append(PackedBlob(blob, kind, offset % (1 << 32), length, plain))
            offset += length
        self.packs[pack] = blobs
        self.unlisted.append(pack)
        self.index.add_pack(pack, blobs)

    @precondition(lambda self: self.unlisted)
    @rule()
    def list_all(self) -> None:
        self.files += 1
        packs = [(pack, self.packs[pack]) for pack in self.unlisted]
        self.index.commit(IndexId(f"{self.files:064x}"), packs)
        self.unlisted.clear()

    @precondition(lambda self: self.packs)
    @rule(data=st.data())
    def hide(self, data: st.DataObject) -> None:
        pack = data.draw(st.sampled_from(sorted(self.packs)))
        self.hidden.add(pack)
        self.index.hide_packs([pack])

    @rule()
    def start_again(self) -> None:
        handle = self.index.path
        unlisted = [(pack, self.packs[pack]) for pack in self.unlisted]
        self.index = Index([Segment(path) for path in handle.paths], save=self.save, tidy=self.tidy)
        self.index.hide_packs(self.hidden)
        for pack, blobs in unlisted:
            self.index.add_pack(pack, blobs)

    @invariant()
    def answers_like_the_model(self) -> None:
        if not hasattr(self, "packs"):
            return
        listed = IndexView.open(self.index.path)
        everything: list[tuple[BlobId, BlobLocation]] = []
        for pack, blobs in self.packs.items():
            assert self.index.pack_blobs(pack) == sorted(blobs, key=lambda b: (b.offset, b.id)) or pack in self.unlisted
            assert self.index.pack_size(pack) == pack_size_of(blobs)
            for blob, *rest in blobs:
                place = BlobLocation(pack, *rest)
                everything.append((blob, place))
                visible = pack not in self.hidden
                assert (place in self.index.find_all(blob)) is visible
                assert (place in self.index.find_all(blob, BlobType(1 - place.type))) is False
                assert (place in listed.find_all(blob)) is (visible and pack not in self.unlisted)
        assert list(self.index.packs()) == sorted(self.packs)
        assert sorted(self.index.entries()) == sorted(everything)
        assert len(self.index) == len(everything)

    def teardown(self) -> None:
        if hasattr(self, "directory"):
            self.index.close()
            self.directory.cleanup()


TestIndexModel = IndexModel.TestCase
TestIndexModel.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)
