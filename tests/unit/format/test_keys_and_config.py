"""Passwords, key files and the config."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from backup_core.errors import AuthenticationFailed, Corrupt, FormatError, UnsupportedVersion
from backup_core.format import kdf
from backup_core.format.cipher import MasterKey
from backup_core.format.config_file import RepositoryConfig, is_irreducible
from backup_core.format.kdf import ScryptParameters, begin, derive
from backup_core.format.key_file import KeyFile
from backup_core.types import Secret

CREATED = datetime(2026, 3, 4, 5, 6, 7, 891000, tzinfo=UTC)
RESTIC_POLYNOMIAL = 0x25B468838DCB75
"""The example of restic's design document."""

pytestmark = pytest.mark.usefixtures("full_cost")


@pytest.fixture
def key_file(master: MasterKey) -> KeyFile:
    made = KeyFile.make(
        Secret("пароль"), master, created=CREATED, username="me", hostname='a "host"', salt=bytes(range(64))
    )
    return KeyFile.decode(made.encode())


def test_scrypt_is_that_of_the_standard() -> None:
    """RFC 7914, section 12, has no salt of 64 bytes; so hashlib is the second opinion."""
    from hashlib import scrypt

    salt = bytes(range(64))
    key = derive(Secret("pass"), ScryptParameters(n=1024, r=8, p=2, salt=salt))
    assert key.encrypt + key.mac_k + key.mac_r == scrypt(b"pass", salt=salt, n=1024, r=8, p=2, dklen=64)


def test_what_was_begun_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    cheap = ScryptParameters(n=16, r=1, p=1, salt=bytes(64))
    expected = derive(Secret("pass"), cheap)
    real = kdf._derive
    monkeypatch.setattr(kdf, "_derive", lambda *a: asked.append(threading.get_ident()) or real(*a))
    begin(Secret("pass"), cheap)
    begin(Secret("pass"), cheap)
    assert derive(Secret("other"), cheap) != expected
    assert [derive(Secret("pass"), cheap) for _ in range(2)] == [expected, expected]
    here = threading.get_ident()
    assert sorted(thread == here for thread in asked) == [False, True, True]


def test_what_was_begun_and_fails_is_told_to_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*_: object) -> None:
        raise MemoryError("scrypt")

    cheap = ScryptParameters(n=16, r=1, p=1, salt=bytes(64))
    with monkeypatch.context() as patch:
        patch.setattr(kdf, "_derive", out_of_memory)
        begin(Secret("pass"), cheap)
        with pytest.raises(MemoryError):
            derive(Secret("pass"), cheap)
    assert derive(Secret("pass"), cheap) == derive(Secret("pass"), cheap)


def test_a_key_file_opens_with_its_password_only(key_file: KeyFile, master: MasterKey) -> None:
    assert key_file.unlock(Secret("пароль")) == master
    with pytest.raises(AuthenticationFailed):
        key_file.unlock(Secret("parole"))


def test_a_key_file_keeps_its_fields(key_file: KeyFile) -> None:
    assert (key_file.created, key_file.username, key_file.hostname) == (CREATED, "me", 'a "host"')
    names = ["created", "username", "hostname", "kdf", "N", "r", "p", "salt", "data"]
    assert list(json.loads(key_file.encode())) == names


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"kdf": "argon2"}, UnsupportedVersion),
        ({"N": 1 << 24}, UnsupportedVersion),
        ({"r": 1 << 20}, UnsupportedVersion),
        ({"p": 1 << 30}, UnsupportedVersion),
        ({"N": 32767}, Corrupt),
        ({"N": 0}, Corrupt),
        ({"N": 1}, Corrupt),
        ({"r": 0}, Corrupt),
        ({"p": -1}, Corrupt),
        ({"N": True}, Corrupt),
        ({"N": 32768.0}, Corrupt),
        ({"salt": "AAAA"}, Corrupt),
        ({"salt": "A" * 85}, Corrupt),
        ({"data": "ä"}, Corrupt),
        ({"created": "yesterday"}, Corrupt),
        ({"username": 7}, Corrupt),
    ],
)
def test_costs_and_nonsense_are_refused(key_file: KeyFile, change: dict[str, Any], expected: type[FormatError]) -> None:
    fields = json.loads(key_file.encode()) | change
    with pytest.raises(expected):
        KeyFile.decode(json.dumps(fields).encode())


def test_a_generated_config_survives_its_json(random_bytes: Callable[[int], bytes]) -> None:
    config = RepositoryConfig.generate(random_bytes)
    assert RepositoryConfig.decode(config.encode()) == config
    assert config.version == 2
    assert config.chunker_polynomial.bit_length() == 54


def multiply(first: int, second: int) -> int:
    """Of polynomials over GF(2)."""
    product = 0
    while second:
        product ^= first * (second & 1)
        first, second = first << 1, second >> 1
    return product


def test_irreducible_polynomials_are_told_from_products() -> None:
    assert is_irreducible(RESTIC_POLYNOMIAL)
    factor = 1 << 26 | 0b1000111  # x^26 + x^6 + x^2 + x + 1
    for other in range(1 << 27, (1 << 27) + 50):
        product = multiply(factor, other)
        assert product.bit_length() == 54
        assert not is_irreducible(product)


@pytest.mark.parametrize("polynomial", [0, 1, 1 << 53, (1 << 53) + 1, 0b111, RESTIC_POLYNOMIAL << 1])
def test_degenerate_polynomials_are_refused(polynomial: int) -> None:
    assert not is_irreducible(polynomial)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"version": 3}, UnsupportedVersion),
        ({"version": 0}, UnsupportedVersion),
        ({"version": "2"}, Corrupt),
        ({"id": "12"}, Corrupt),
        ({"id": None}, Corrupt),
        ({"chunker_polynomial": "25b468838dcb76"}, Corrupt),
        ({"chunker_polynomial": "0x25b468838dcb75"}, Corrupt),
        ({"chunker_polynomial": "1" * 5000}, Corrupt),
        ({"chunker_polynomial": 0x25B468838DCB75}, Corrupt),
    ],
)
def test_a_config_that_cannot_be_is_refused(change: dict[str, Any], expected: type[FormatError]) -> None:
    fields = {"version": 2, "id": "ab" * 32, "chunker_polynomial": "25b468838dcb75"}
    assert RepositoryConfig.decode(json.dumps(fields).encode()).chunker_polynomial == RESTIC_POLYNOMIAL
    with pytest.raises(expected):
        RepositoryConfig.decode(json.dumps(fields | change).encode())


def test_version_one_can_be_read() -> None:
    fields = {"version": 1, "id": "ab" * 32, "chunker_polynomial": "25b468838dcb75"}
    assert RepositoryConfig.decode(json.dumps(fields).encode()).version == 1
