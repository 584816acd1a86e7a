"""The secret salt of pseudonyms, and the two blocks of HMAC-SHA-256 made of it."""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
from pathlib import Path

from landing import LandingError

HMAC_BLOCK = 64  # bytes of one SHA-256 block


def salt_beside(warehouse: Path) -> str:
    """Return the secret for pseudonyms: PARLEY_SALT, else the file `salt` beside the warehouse.

    The file is created once, with 32 random bytes as hex, readable by its owner only.

    Raises:
        LandingError: the file cannot be read or created, or is empty.
    """
    if salt := os.environ.get("PARLEY_SALT"):
        return salt
    path = warehouse.parent / "salt"
    try:
        if not path.exists():
            _create_salt(path)
        salt = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise LandingError(f"The salt {path} cannot be read or created; set PARLEY_SALT.") from None
    if not salt:
        raise LandingError(f"The salt {path} is empty; put the former one there or remove it.")
    return salt


def _create_salt(path: Path) -> None:
    """Write a new salt in one step, unless another process does so first."""
    draft = path.with_name(f".salt-{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(32) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
    print(
        f"A new salt for pseudonyms was written to {path}; keep it, person ids change without it.",
        file=sys.stderr,
    )


def hmac_blocks(salt: str) -> tuple[bytes, bytes]:
    """Return the inner and outer block of HMAC-SHA-256 (RFC 2104), 64 bytes each.

    `sha256(outer + sha256(inner + text))` is then the keyed hash, without the key at hand.
    """
    key = salt.encode("utf-8")
    if len(key) > HMAC_BLOCK:
        key = hashlib.sha256(key).digest()
    key = key.ljust(HMAC_BLOCK, b"\0")
    return bytes(byte ^ 0x36 for byte in key), bytes(byte ^ 0x5C for byte in key)
