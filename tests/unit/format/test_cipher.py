"""Sealed boxes: what they are made of, that nothing changed opens, and that no nonce comes twice."""

from __future__ import annotations

import copy
import os
import pickle
import random
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR, ECB
from cryptography.hazmat.primitives.poly1305 import Poly1305

from backup_core.errors import AuthenticationFailed, Corrupt
from backup_core.format.cipher import OVERHEAD, MasterKey, Sealer

LENGTHS = (0, 1, 15, 16, 17, 4096, 100_001)


def box_by_the_book(master: MasterKey, nonce: bytes, plain: bytes) -> bytes:
    """The same construction once more, step by step and without anything kept."""
    text = Cipher(AES(master.encrypt), CTR(nonce)).encryptor().update(plain)
    one_time = Cipher(AES(master.mac_k), ECB()).encryptor().update(nonce)
    return nonce + text + Poly1305.generate_tag(master.mac_r + one_time, text)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_box_is_made_as_the_format_says(master: MasterKey, sealer: Sealer, length: int) -> None:
    plain = random.Random(length).randbytes(length)
    box = sealer.seal(plain)
    assert box == box_by_the_book(master, box[:16], plain)
    assert len(box) == length + OVERHEAD


@pytest.mark.parametrize("length", LENGTHS)
def test_a_box_opens_again(master: MasterKey, sealer: Sealer, length: int) -> None:
    plain = random.Random(length).randbytes(length)
    assert Sealer(master).open(memoryview(sealer.seal(plain))) == plain


def test_sealing_into_a_buffer_touches_only_the_box(sealer: Sealer) -> None:
    buffer = bytearray(b"." * 100)
    written = sealer.seal_into(memoryview(b"plain"), memoryview(buffer)[10:])
    assert written == 5 + OVERHEAD
    assert (buffer[:10], buffer[10 + written :]) == (b"." * 10, b"." * (90 - written))
    assert sealer.open(buffer[10 : 10 + written]) == b"plain"


def test_a_short_buffer_is_refused_untouched(sealer: Sealer) -> None:
    buffer = bytearray(36)
    with pytest.raises(ValueError, match="37"):
        sealer.seal_into(b"plain", memoryview(buffer))
    assert buffer == bytes(36)


def test_any_changed_bit_is_found(sealer: Sealer) -> None:
    box = sealer.seal(b"some words")
    for position in range(len(box)):
        changed = bytearray(box)
        changed[position] ^= 1 << position % 8
        with pytest.raises(AuthenticationFailed):
            sealer.open(changed)


def test_truncated_and_foreign_boxes_do_not_open(sealer: Sealer, random_bytes: Callable[[int], bytes]) -> None:
    box = sealer.seal(b"some words")
    other = Sealer(MasterKey.generate(random_bytes))
    for opener, part in ((sealer, box[:-1]), (sealer, box[:31]), (sealer, b""), (other, box)):
        with pytest.raises(AuthenticationFailed):
            opener.open(part)


def test_nonces_never_repeat(master: MasterKey) -> None:
    first, second = Sealer(master), Sealer(master)
    nonces = {sealer.seal(b"")[:16] for _ in range(1500) for sealer in (first, second)}
    assert len(nonces) == 3000


def test_a_forked_process_draws_its_own_nonces(master: MasterKey) -> None:
    sealer = Sealer(master)
    sealer.seal(b"")  # now nonces are drawn ahead, which a child inherits
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, sealer.seal(b"")[:16])
        os._exit(0)
    os.close(writing)
    assert os.waitpid(child, 0)[1] == 0
    of_child = os.read(reading, 16)
    os.close(reading)
    assert of_child not in {sealer.seal(b"")[:16] for _ in range(600)}


def test_a_poor_source_of_randomness_is_refused(master: MasterKey) -> None:
    with pytest.raises(ValueError, match="random"):
        Sealer(master, random_bytes=lambda _: b"few").seal(b"")


def test_a_master_key_survives_its_json(master: MasterKey) -> None:
    assert MasterKey.from_json(master.to_json()) == master


def test_secrets_do_not_show(master: MasterKey, sealer: Sealer) -> None:
    assert repr(master) == "MasterKey()"
    for holder in (master, sealer):
        with pytest.raises(TypeError):
            pickle.dumps(holder)
        with pytest.raises(TypeError):
            copy.deepcopy(holder)


@pytest.mark.parametrize("halves", [(31, 16, 16), (32, 15, 16), (32, 16, 17), (0, 0, 0)])
def test_keys_of_other_lengths_are_refused(halves: tuple[int, int, int]) -> None:
    with pytest.raises(Corrupt, match="lengths"):
        MasterKey(*(b"k" * length for length in halves))


def test_a_key_of_zeros_is_refused() -> None:
    with pytest.raises(Corrupt, match="zero"):
        MasterKey(b"k" * 32, bytes(16), b"r" * 16)


@pytest.mark.parametrize(
    "json", [b"", b"[]", b"{}", b'{"mac":{},"encrypt":""}', b'{"mac":{"k":"?","r":1},"encrypt":null}']
)
def test_a_master_key_from_nonsense_is_corrupt(json: bytes) -> None:
    with pytest.raises(Corrupt):
        MasterKey.from_json(json)
