"""Which release the last run of dbt goes on from, so that only what it changed is done again.

dbt says which run it went on from (macros/incremental/run_state.sql). When that run was published,
by the same project, and the release is still current and untouched, then the marts of the warehouse
differ from the release by the rows that stand in the schema `touched`, and all others have passed
every check. In any other case, such as a `dbt build` in between, everything is checked and copied.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import duckdb

from publish import Base, Release, current_release
from resources import duckdb_settings

# How a table is kept from run to run that is changed by the rows in `touched`.
KEPT_BY_ROWS = frozenset({"changed", "revised", "persons", "history"})


def _state_file(warehouse: Path) -> Path:
    return warehouse.with_name(f"{warehouse.name}.release.json")


def file_states(release: Path) -> dict[str, list[int]]:
    """Size in bytes and time of change in ns of each file of a release, by relative path."""
    return {
        path.relative_to(release).as_posix(): [path.stat().st_size, path.stat().st_mtime_ns]
        for path in sorted(release.rglob("*"))
        if path.is_file()
    }


def write_private(path: Path, content: object) -> None:
    """Write JSON in one step, readable by the owner only."""
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(content, stream)
    draft.replace(path)


def note_release(warehouse: Path, release: Release, project: str) -> None:
    """Note which run of dbt a release was made from, and by which project.

    Args:
        warehouse: the DuckDB file, which nobody writes to.
        release: what was published.
        project: digest of the project's files.
    """
    run = _last_run(warehouse)
    if run is None:
        _state_file(warehouse).unlink(missing_ok=True)
        return
    states = file_states(release.path)
    write_private(
        _state_file(warehouse),
        {"run": run[0], "release": release.id, "files": states, "project": project},
    )


def base_of(
    warehouse: Path, published: Path, replaced: Mapping[str, str | None], project: str
) -> Base | None:
    """The release the last run of dbt goes on from; None when everything is to be done again.

    Args:
        warehouse: the DuckDB file, which nobody writes to.
        published: the directory of releases.
        replaced: marts that are kept by rows, see `Base`.
        project: digest of the project's files.
    """
    run = _last_run(warehouse)
    if run is None or run[1] is None:
        return None
    current = published / "current"
    try:
        state = json.loads(_state_file(warehouse).read_text(encoding="utf-8"))
        is_base = (
            state["run"] == run[1]
            and state["project"] == project
            and state["release"] == current_release(published)
            and state["files"] == file_states(current)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Base(current.resolve(), replaced) if is_base else None


def _last_run(warehouse: Path) -> tuple[str, str | None] | None:
    """The last run of dbt and the one it went on from; None when it may not be gone on from."""
    try:
        settings = duckdb_settings(warehouse)
        with duckdb.connect(str(warehouse), read_only=True, config=settings) as con:
            row = con.execute(
                "select run_id, case when mode = 'touched' then previous_run_id end "
                "from touched.runs where is_complete"
            ).fetchone()
    except (duckdb.CatalogException, duckdb.BinderException):  # no run, or one of an older version
        return None
    return (str(row[0]), row[1]) if row else None
