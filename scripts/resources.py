"""What a build may take of this machine: memory, and a directory to spill to.

`PARLEY_MEMORY_LIMIT` and `PARLEY_SPILL` say so; what they leave out is taken from the machine. All
scripts and dbt ask here. Only the standard library is needed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

# Python, dbt and what DuckDB does not count took 1.1 GB beside it at ten million messages.
MOST_BYTES = 2_500_000_000
LEAST_BYTES = 512_000_000
SHARE = 0.5

# What DuckDB keeps beside its limit of all tables it wrote or read since it opened a file, 3 kB for
# each column of 122,880 rows, comes to this much for each row of `raw`; and the share of the limit
# it may grow to.
CATALOGUE_BYTES_PER_ROW = 7
CATALOGUE_SHARE = 0.1

# Of a table that rows were deleted from DuckDB keeps 16 kB in memory for 2,048 rows with one of
# them, once it has read it, and spills none of that. What a day replaces lies anywhere, so it comes
# to this much for each row of the table; and the share of the limit one table may take so.
DELETED_BYTES_PER_ROW = 8
DELETED_SHARE = 0.1

# What a message takes that is joined with all that is known of it, and a row of a fact whose cells
# have four percentiles and ten dimensions (some 600 bytes), with room for more beside.
BYTES_PER_MESSAGE = 250
BYTES_PER_FACT = 2500

UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
BINARY_UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:([kmgt]?)b?|([kmgt])ib)\s*", re.IGNORECASE)


# As `duckdb.connect` takes them.
DuckdbSettings = dict[str, str | bool | int | float | list[str]]


class ResourceError(Exception):
    """A setting of resources is none; one sentence that says what to write."""


def size_bytes(text: str) -> int:
    """Bytes of a size such as 2GB, 512 MB, 1.5GiB or 3g.

    Raises:
        ResourceError: it is no size, or nothing.
    """
    found = _SIZE.fullmatch(text)
    number = 0
    if found:
        unit, binary = (found[2] or "").lower(), (found[3] or "").lower()
        number = round(float(found[1]) * (BINARY_UNITS[binary] if binary else UNITS[unit]))
    if number <= 0:
        raise ResourceError("MEMORY_LIMIT must be a size such as 2GB or 800MB.")
    return number


def _limits(root: Path) -> Iterator[int]:
    """Limits of the control groups (versions 1 and 2) this process is in, in bytes.

    Inside a container the path of the group may be one of the host; the groups above it are asked
    too, up to the root that is mounted here.
    """
    lines: list[str] = []
    with suppress(OSError):
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers == "":
            mount, file = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            mount, file = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        group = mount / name.lstrip("/")
        for folder in (group, *group.parents):
            with suppress(OSError, ValueError):  # no such group here, or `max`
                yield int((folder / file).read_text(encoding="utf-8"))
            if folder == mount:
                break


def machine_bytes(root: Path = Path("/")) -> int:
    """Memory this process may use at most: the machine's, or less if its control group says so.

    Args:
        root: where `proc` and `sys` are mounted.
    """
    try:
        physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        physical = 2 * MOST_BYTES  # unknown to this system
    return min([physical, *(limit for limit in _limits(root) if limit > 0)])


def memory_limit_bytes(environment: Mapping[str, str] | None = None) -> int:
    """Memory DuckDB may use before it spills: the setting, else half of the machine's.

    By default at most 2.5 GB, so that a whole build stays below 4 GB, and at least 512 MB.

    Args:
        environment: the process's own when None.

    Raises:
        ResourceError: PARLEY_MEMORY_LIMIT is no size.
    """
    given = (os.environ if environment is None else environment).get("PARLEY_MEMORY_LIMIT")
    if given:
        return size_bytes(given)
    return max(LEAST_BYTES, min(MOST_BYTES, int(machine_bytes() * SHARE)))


def outgrows_memory(rows: int, limit: int) -> bool:
    """Whether a warehouse is built one model at a time and closed between two of them.

    With 2.5 GB two models at once found room in it at 29 million rows, and did not at 143 million.

    Args:
        rows: rows of all tables of `raw`.
        limit: memory DuckDB may use, in bytes.
    """
    return rows * CATALOGUE_BYTES_PER_ROW > limit * CATALOGUE_SHARE


def most_rows_to_delete_from(limit: int) -> int:
    """Rows of a table up to which rows of it are deleted; a longer one is written anew instead.

    Args:
        limit: memory DuckDB may use, in bytes.
    """
    return int(limit * DELETED_SHARE / DELETED_BYTES_PER_ROW)


def messages_of_a_batch(limit: int) -> int:
    """Messages a model that is built in batches of conversations reads at once.

    Args:
        limit: memory DuckDB may use, in bytes.
    """
    return max(1, limit // BYTES_PER_MESSAGE)


def facts_of_a_batch(limit: int) -> int:
    """Rows of a fact of which cells that cannot spill are computed at once.

    Args:
        limit: memory DuckDB may use, in bytes.
    """
    return max(1, limit // BYTES_PER_FACT)


def spill_directory(warehouse: Path | None = None) -> Path:
    """Directory DuckDB spills to: the setting, else `spill` beside the warehouse."""
    given = os.environ.get("PARLEY_SPILL")
    return Path(given) if given else (warehouse or Path("warehouse/demo.duckdb")).parent / "spill"


def remove_spilled(warehouse: Path | None = None) -> None:
    """Remove what a killed process has spilled, and nothing else that lies in that directory.

    Args:
        warehouse: the file spilled for, `spill_directory` says where to.

    Raises:
        OSError: a file cannot be removed.
    """
    directory = spill_directory(warehouse)
    for path in directory.glob("duckdb_temp_*"):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # nothing was ever spilled, or somebody's files are left
        directory.rmdir()


def duckdb_settings(
    warehouse: Path | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    share: float = 1.0,
) -> DuckdbSettings:
    """What each file is opened with in DuckDB: how much memory it may use, and where it spills.

    Args:
        warehouse: the file spilled for, `spill_directory` says where to.
        environment: where the limit is looked up, the process's own when None.
        share: of the limit, where two processes are at work at once.

    Raises:
        ResourceError: PARLEY_MEMORY_LIMIT is no size.
    """
    return {
        "memory_limit": f"{int(memory_limit_bytes(environment) * share)}B",
        "temp_directory": str(spill_directory(warehouse)),
    }
