"""What DuckDB and the system mean by their error messages, for sentences that say what to do."""

from __future__ import annotations

import errno
import re

# How DuckDB says that a file is not what it wrote; the last one is the loader's own wording.
DAMAGE = re.compile(
    r"not a valid DuckDB database file|Corrupt database file|Could not read enough bytes"
    r"|with version number|replaying WAL|Serialization Error|Failed to deserialize"
    r"|INTERNAL Error|FATAL Error|database has been invalidated|the database refused it"
)
# What it says too when a checkpoint found no memory, after which the file is as it was.
GIVEN_UP = re.compile(r"FATAL Error|database has been invalidated")
OUT_OF_MEMORY = re.compile(r"Out of Memory Error")
FULL = re.compile(
    r"No space left|File too large|quota exceeded|Could not write all bytes|disk is full"
    r"|max_temp_directory_size",
    re.IGNORECASE,
)
FULL_CODES = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})
LOCKED = re.compile(r"Could not set lock on file(?:.*?PID (\d+))?", re.DOTALL)


def is_disk_full(error: BaseException) -> bool:
    """Whether something failed for want of disk space, or of permission to write as much."""
    return getattr(error, "errno", None) in FULL_CODES or bool(FULL.search(str(error)))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether something failed for want of memory, and not of disk space to spill to."""
    return bool(OUT_OF_MEMORY.search(str(error))) and not is_disk_full(error)


def hints_at_damage(error: BaseException) -> bool:
    """Whether an error may come from a file that is not what DuckDB wrote."""
    text = str(error)
    if is_out_of_memory(error):
        text = GIVEN_UP.sub("", text)
    return bool(DAMAGE.search(text))


def holder_text(message: str) -> str | None:
    """`another process (4711)`, if DuckDB says that somebody has the warehouse open."""
    found = LOCKED.search(message)
    if not found:
        return None
    return f"another process ({found[1]})" if found[1] else "another process"
