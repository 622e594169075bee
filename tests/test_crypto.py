"""The cipher: what is sealed for one place opens there, with its key, and nowhere else."""

import hmac
import itertools
import json
import random
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from console import crypto
from console.crypto import CannotOpen, Context, seal, unseal

PLACE = Context("connectors_connectorsettings", "values", "partner-1", "row-1")
SECRET = {"client_secret": "canary-größer-🔑"}


def sealed_with(settings, key_id: str, value, context: Context) -> bytes:
    ring = settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = {key_id: ring[key_id], **ring}
    made = seal(value, context)
    settings.ENCRYPTION_KEYS = ring
    assert crypto.key_id_of(made) == key_id
    return made


def opens(sealed: bytes, context: Context) -> bool:
    """Whether it opens; anything but CannotOpen that is raised fails the test."""
    try:
        unseal(sealed, context)
    except CannotOpen:
        return False
    return True


@pytest.mark.parametrize(
    "value",
    [SECRET, {}, [], "", "text", "ü🔑\x00", 0, 12345, 1.5, True, None, {"a": {"b": [1, None]}}, "x" * 99_999],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
def test_a_value_comes_back_as_it_was(value):
    assert unseal(seal(value, PLACE), PLACE) == value


def test_a_value_moved_to_another_place_does_not_open(settings):
    """Every ordered pair of places that differ in table, column, partner, row or key."""
    texts = ["setup", "values"], ["values", "token"], ["partner-1", "partner-2"], ["row-1", "row-2"]
    places = [
        (Context(*parts), key) for parts in itertools.product(*texts) for key in settings.ENCRYPTION_KEYS
    ]
    made = {place: sealed_with(settings, place[1], SECRET, place[0]) for place in places}
    for place, sealed in made.items():
        assert unseal(sealed, place[0]) == SECRET
    moved = [
        # The other place's header names its key; its body is this value's.
        (made[target][:4] + sealed[4:], target[0])
        for source, sealed in made.items()
        for target in places
        if source != target
    ]
    assert len(moved) == 32 * 31
    assert [pair for pair in moved if opens(*pair)] == []


def test_no_two_places_read_alike():
    """Where one part of a context ends and the next begins counts, too."""
    parts = ["", "a", "ab", "b", "a\x00", "\x00\x00\x00\x01a"]
    contexts = [Context(*found) for found in itertools.product(parts, repeat=4)]
    assert len({context.encode() for context in contexts}) == len(contexts)
    sealed = seal(SECRET, Context("ab", "c", "d", "e"))
    assert not opens(sealed, Context("a", "bc", "d", "e"))
    assert not opens(sealed, Context("ab", "cd", "", "e"))


def test_a_changed_bit_is_noticed():
    sealed = seal(SECRET, PLACE)
    flips = random.Random(22).choices(range(len(sealed) * 8), k=1000)
    for flip in {*flips, *range(len(sealed) * 8)}:
        changed = bytearray(sealed)
        changed[flip // 8] ^= 1 << flip % 8
        assert not opens(bytes(changed), PLACE), f"bit {flip}"


def test_a_shortened_or_lengthened_value_is_noticed():
    sealed, other = seal(SECRET, PLACE), seal("other", PLACE)
    for size in range(len(sealed)):
        assert not opens(sealed[:size], PLACE)
        assert not opens(sealed[len(sealed) - size :], PLACE)
        assert not opens(sealed[:size] + sealed[size + 1 :], PLACE)
    for changed in (sealed + b"\x00", sealed + sealed, sealed + b"\x00" * 16, sealed[:-32] + other[4:]):
        assert not opens(changed, PLACE)


@pytest.mark.parametrize(
    "junk", [b"", b"\x01", b"\x01\xff", b"\x02\x02t2", b'{"a": 1}', b"gAAAAAB", bytes(200)]
)
def test_what_was_never_sealed_does_not_open(junk):
    assert not opens(junk, PLACE)


def test_the_same_value_never_looks_the_same_twice():
    made = [seal(SECRET, PLACE) for _ in range(1000)]
    assert len({sealed[4:20] for sealed in made}) == 1000
    assert len({sealed[20:-32] for sealed in made}) == 1000


def test_nothing_of_the_value_can_be_seen(settings):
    sealed = seal({"client_secret": "c" * 1000}, PLACE)
    assert b"client" not in sealed
    assert b"cccc" not in sealed
    assert not any(key in sealed for key in settings.ENCRYPTION_KEYS.values())


# ── the key ring ────────────────────────────────────────────────────────────────────────────────


def test_the_first_key_seals_and_every_key_opens(settings):
    first, second = settings.ENCRYPTION_KEYS
    old = sealed_with(settings, second, SECRET, PLACE)
    assert unseal(old, PLACE) == SECRET
    assert crypto.key_id_of(seal(SECRET, PLACE)) == first


def test_a_key_is_added_in_front_and_the_old_values_still_open(settings):
    old = seal(SECRET, PLACE)
    settings.ENCRYPTION_KEYS = {"new": bytes(range(100, 132)), **settings.ENCRYPTION_KEYS}
    new = seal(SECRET, PLACE)
    assert crypto.key_id_of(new) == "new"
    assert unseal(old, PLACE) == unseal(new, PLACE) == SECRET


def test_a_removed_key_is_named_and_nothing_of_the_value_is(settings):
    old = seal(SECRET, PLACE)
    settings.ENCRYPTION_KEYS = {"new": bytes(range(100, 132))}
    with pytest.raises(CannotOpen, match="'t2', which is not in ENCRYPTION_KEYS") as refused:
        unseal(old, PLACE)
    assert "canary" not in str(refused.value)


def test_another_key_under_the_same_id_does_not_open(settings):
    old = seal(SECRET, PLACE)
    settings.ENCRYPTION_KEYS = {"t2": bytes(range(100, 132))}
    with pytest.raises(CannotOpen, match="damaged, or moved"):
        unseal(old, PLACE)


def test_no_other_setting_is_part_of_a_key(settings):
    old = seal(SECRET, PLACE)
    settings.SECRET_KEY = "another" * 10
    settings.SECRET_KEY_FALLBACKS = []
    settings.CRYPTOGRAPHY_KEY = settings.CRYPTOGRAPHY_SALT = "something"
    assert unseal(old, PLACE) == SECRET


# ── the format ──────────────────────────────────────────────────────────────────────────────────

KEPT_PLACE = Context(
    "connectors_connectorsettings",
    "values",
    "6f1f6d4e-0000-4000-8000-000000000001",
    "6f1f6d4e-0000-4000-8000-000000000002",
)
KEPT = bytes.fromhex(
    "01027432ce7a52d437d8ff495883e135fcad130fdfa4026fbc005e5d5d608d0f11b6a4587af69f3caabf7d6d03d1484bc327"
    "e23d4f07ed0ad5f491f436eae149d2185f49bdc87f296db3c05fd8f2a3e3f0d7a425458ac7f31fcb6043598622d38e355664"
)


def test_what_was_sealed_by_the_first_release_still_opens():
    assert unseal(KEPT, KEPT_PLACE) == {"client_secret": "größer"}


def test_the_format_is_what_it_is_said_to_be(settings):
    """Opened with nothing but the primitives: AES-256-CBC and HMAC-SHA256, two keys made by HKDF."""

    def derived(info: bytes) -> bytes:
        master = settings.ENCRYPTION_KEYS["t2"]
        return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(master)

    header, body, mac = KEPT[:4], KEPT[4:-32], KEPT[-32:]
    context = b"".join(len(part).to_bytes(4, "big") + part.encode() for part in KEPT_PLACE)
    associated = b"\x01t2\x00" + context
    assert header == b"\x01\x02t2"
    covered = len(associated).to_bytes(4, "big") + associated + body
    assert hmac.digest(derived(b"partner-console/seal/mac"), covered, sha256) == mac
    aes = Cipher(algorithms.AES(derived(b"partner-console/seal/aes")), modes.CBC(body[:16])).decryptor()
    unpadder = padding.PKCS7(128).unpadder()
    text = unpadder.update(aes.update(body[16:]) + aes.finalize()) + unpadder.finalize()
    assert json.loads(text) == {"client_secret": "größer"}


def test_a_digest_is_sha_256_in_hexadecimal():
    assert crypto.digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
