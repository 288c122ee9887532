"""Addresses: what is stored where, and how names travel."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup_core.errors import ConfigError
from backup_core.storage.local import LocalBackend
from backup_core.storage.memory import MemoryBackend
from backup_core.storage.options import BackendOptions
from backup_core.storage.registry import join_url, open_backend
from backup_core.storage.webdav.listing import gather
from backup_core.storage.webdav.multistatus import Entry
from backup_core.storage.webdav.profiles import PROFILES, profile_for, profile_named
from backup_core.storage.webdav.urls import encode, parse_place, same, segments_of_href, split

SEGMENT = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1).filter(
    lambda s: s not in (".", "..")
)
SEGMENTS = st.lists(SEGMENT, max_size=5).map(tuple)


@given(SEGMENTS)
def test_every_name_survives_encoding(segments: tuple[str, ...]) -> None:
    path = encode(segments)
    assert path.isascii()
    assert split(path) == segments
    assert segments_of_href(path) == segments
    assert segments_of_href(f"https://host:1/{path.lstrip('/')}") == segments


@given(SEGMENTS, SEGMENT, st.sampled_from(["", "/inner", "/a/b"]))
def test_children_are_found_behind_any_prefix(asked: tuple[str, ...], child: str, prefix: str) -> None:
    outer = asked or ("root",)
    folder, inside = Entry(prefix + encode(outer, directory=True)), Entry(prefix + encode((*outer, child)))
    folder.is_collection = True
    inside.numbers["getcontentlength"] = 5
    found, doubt = gather([folder, inside], outer)
    assert (found.objects, doubt) == ({child: 5}, "")


def test_accents_written_in_two_ways_are_one_path() -> None:
    assert same(("\u00e9",), ("e\u0301",))
    assert not same(("e",), ("\u00e9",))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://dav.jianguoyun.com/dav/", "https://dav.jianguoyun.com/dav/"),
        ("davs://Host.Example.COM:443/a b/备份", "https://host.example.com/a%20b/%E5%A4%87%E4%BB%BD/"),
        ("webdav://127.0.0.1:8080", "http://127.0.0.1:8080/"),
        ("http://[::1]:8080//a//b", "http://[::1]:8080/a/b/"),
        ("https://h/100%25%23", "https://h/100%25%23/"),
    ],
)
def test_addresses_are_brought_into_one_form(url: str, expected: str) -> None:
    assert str(parse_place(url)) == expected
    assert parse_place(expected) == parse_place(url)


@pytest.mark.parametrize(
    ("url", "path", "expected"),
    [
        ("https://h/dav/", "/backups", "https://h/dav/backups"),
        ("https://h/dav", "我的/100%", "https://h/dav/%E6%88%91%E7%9A%84/100%25"),
        ("https://h/dav/", "/", "https://h/dav/"),
        ("/mnt/disk/", "a b", "/mnt/disk/a b"),
        ("memory://x", "y", "memory://x/y"),
        ("file:///mnt/a%20b", "100% sure/备份", "file:///mnt/a%20b/100%25%20sure/%E5%A4%87%E4%BB%BD"),
        ("s3://bucket", "/a b/100%", "s3://bucket/a b/100%"),
    ],
)
def test_a_target_path_below_an_address(url: str, path: str, expected: str) -> None:
    assert join_url(url, path) == expected


@pytest.mark.parametrize("path", ["with space", "100%", "a%20b", "#1?", "备份"])
def test_a_target_path_means_the_same_folder_however_the_directory_is_written(tmp_path: Path, path: str) -> None:
    for url in (str(tmp_path), tmp_path.as_uri(), f"file://localhost{tmp_path}"):
        assert open_backend(join_url(url, path)).location == str(tmp_path / path)


def test_a_target_path_stays_below() -> None:
    with pytest.raises(ConfigError):
        join_url("https://h/dav/", "a/../../b")


def test_the_scheme_picks_the_backend(tmp_path: Path) -> None:
    assert isinstance(open_backend(str(tmp_path / "r")), LocalBackend)
    assert open_backend(f"file://{tmp_path}/with%20space").location == str(tmp_path / "with space")
    one, same_one, other = (open_backend(u) for u in ("memory://pick", "memory://pick/", "memory://other"))
    assert isinstance(one, MemoryBackend)
    assert one is same_one
    assert one is not other
    backend = open_backend("https://dav.example.com/x")
    assert urlsplit(backend.location).path == "/x/"
    backend.close()


@pytest.mark.parametrize("url", ["file://server/share", "ftp://h/x", "  "])
def test_addresses_nobody_serves(url: str) -> None:
    with pytest.raises(ConfigError):
        open_backend(url)


def test_profiles_know_their_limits() -> None:
    nutstore = profile_named("nutstore")
    assert (nutstore.window_requests, nutstore.window_seconds, nutstore.page_size) == (600, 1800, 750)
    assert nutstore.promises.max_object_size == 500_000_000
    assert profile_named("坚果云") is profile_named("Jianguoyun") is nutstore
    assert all(name == profile.name for name, profile in PROFILES.items())
    with pytest.raises(ConfigError, match="nutstore"):
        profile_named("dropbox")


def test_own_numbers_overrule_the_profile() -> None:
    profile = profile_for(BackendOptions(service_type="nutstore", window_requests=1500, atomic_put=True))
    assert (profile.window_requests, profile.promises.atomic_put, profile.page_size) == (1500, True, 750)
