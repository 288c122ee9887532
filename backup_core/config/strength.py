"""How hard a password is to guess for somebody who has a key file and a fast machine."""

from __future__ import annotations

import math
import string

from backup_core.types import Secret

ENOUGH_BITS = 60.0
"""More than anybody can try when each try costs a good part of a second."""
_COMMON = frozenset(
    (
        "password",
        "passwort",
        "passw0rd",
        "secret",
        "geheim",
        "changeme",
        "letmein",
        "qwerty",
        "qwertz",
        "azerty",
        "admin",
        "administrator",
        "root",
        "master",
        "backup",
        "restic",
        "davault",
        "welcome",
        "monkey",
        "dragon",
        "iloveyou",
        "abc123",
        "12345",
        "123456",
        "12345678",
        "123456789",
        "1234567890",
        "密码",
    )
)
_CLASSES = (string.ascii_lowercase, string.ascii_uppercase, string.digits, string.punctuation + " ")
_OTHERS = 1000
"""Characters that a person who uses others than these is taken to choose from."""


def guessing_bits(password: Secret) -> float:
    """At most so many bits: each character counts by the alphabet it is from, and only once where it goes on as one
    expects (repeated, or the next one of an alphabet or of the digits)."""
    text = password.reveal()
    alphabet = sum(len(kind) for kind in _CLASSES if any(c in kind for c in text))
    if any(c not in "".join(_CLASSES) for c in text):
        alphabet += _OTHERS
    surprising = sum(1 for at, c in enumerate(text) if at == 0 or not 0 <= abs(ord(c) - ord(text[at - 1])) <= 1)
    return surprising * math.log2(alphabet) if alphabet else 0.0


def weakness(password: Secret) -> str:
    """Why a password is weak, as part of a sentence; "" when it is not, as far as that can be seen."""
    text = password.reveal().strip().lower()
    if not text:
        return "it is empty"
    if text in _COMMON or text.rstrip(string.digits + string.punctuation) in _COMMON:
        return "it is one of the passwords that are tried first"
    if guessing_bits(password) < ENOUGH_BITS:
        return "it is short or regular enough to be found by trying"
    return ""
