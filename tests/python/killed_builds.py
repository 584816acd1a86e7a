"""Builds that die at a point of one's choice, and a reader that polls what is published meanwhile.

    builds = Builds()
    builds.run(settings, kill="dbt finished 0.5")     the child ends with -SIGKILL
    builds.run(settings)                              a normal run; returns (exit code, output)

A process parses the project once and forks for every build, as tests/python/harness.py does. The
child runs `build.main()`, all of it, on the parsed project, and kills itself with SIGKILL when it
comes by the point. Production code knows nothing of this.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from harness import ROOT, environment, scratch_directory

NAME = "warehouse"  # the parsed project names the catalog of DuckDB, which is the file's stem


class Builds:
    """The process that holds the parsed project."""

    def __init__(self) -> None:
        self._scratch = scratch_directory("builds")
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), "serve", str(self._scratch)],
            cwd=ROOT,
            env=environment(PARLEY_WAREHOUSE=str(self._scratch / f"{NAME}.duckdb")),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._answer() == 0

    def _answer(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def run(self, settings: dict[str, str], kill: str = "") -> tuple[int, str]:
        """Build; returns the exit code, or minus the signal, and what was printed."""
        assert self._process.stdin is not None
        log = self._scratch / "log"
        request = {"settings": settings, "kill": kill, "log": str(log)}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer(), log.read_text(encoding="utf-8")

    def close(self) -> None:
        """Let the process end."""
        self._process.communicate(timeout=30)


class Reader:
    """A process that opens `current` again and again and queries every table."""

    def __init__(self, published: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), "poll", str(published)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def seen(self) -> list[dict[str, int]]:
        """End it; returns the different row counts by table that it saw, in order.

        Raises:
            AssertionError: `current` could not be read, or was not of a piece.
        """
        output, _ = self._process.communicate(input="stop", timeout=60)
        seen = json.loads(output)
        assert isinstance(seen, list), seen
        return seen


# ------------------------------------------------------------------------------ in the processes


def _poll(published: Path) -> None:
    import select

    seen: list[dict[str, int]] = []
    try:
        while not select.select([sys.stdin], [], [], 0.5)[0] or not seen:
            with duckdb.connect(
                str(published / "current" / "parley.duckdb"), read_only=True
            ) as con:
                file = con.execute("select path from duckdb_databases() where path is not null")
                folder = Path(file.fetchall()[0][0]).resolve().parent
                tables = con.execute(
                    "select table_name from duckdb_tables() where schema_name = 'marts' order by 1"
                ).fetchall()
                counts = {}
                for (table,) in tables:
                    row = con.execute(
                        f'select count(*), bit_xor(hash(each)) from marts."{table}" as each'
                    ).fetchone()
                    assert row is not None
                    counts[table] = row[0]
            if not seen or seen[-1] != counts:
                seen.append(counts)
                folder = (published / "current").resolve()
                for path in sorted((folder / "marts").iterdir()):
                    duckdb.sql(f"select count(*) from read_parquet('{path}')").fetchall()
        print(json.dumps(seen))
    except BaseException as error:
        print(json.dumps(repr(error)))


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _killing(owner: Any, name: str, number: int, *, before: bool) -> None:
    """Make the process die at the nth call of a function, before or after it does its work."""
    original: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if before and calls == number:
            _die()
        result = original(*arguments, **named)
        if not before and calls == number:
            _die()
        return result

    setattr(owner, name, counted)


def _killing_dbt(build: Any, event_name: str, share: float) -> None:
    """Make the process die when dbt has told of this share of its nodes."""
    original = build._Watch.event
    told = total = 0

    def event(watch: Any, event: Any) -> None:
        nonlocal told, total
        original(watch, event)
        if event.info.name == "ConcurrencyLine":
            total = event.data.node_count
        told += event.info.name == event_name
        if total and told >= max(1, round(share * total)):
            _die()

    build._Watch.event = event


def _arm(point: str) -> None:
    """Prepare the death of this process at a point, such as `write 3` or `dbt started 0.4`."""
    import build
    import load
    import publish

    what, *rest = point.split()
    number = int(rest[0]) if rest and rest[0].isdecimal() else 1
    if what == "dbt":
        event = {"started": "NodeStart", "finished": "NodeFinished"}[rest[0]]
        _killing_dbt(build, event, float(rest[1]))
    elif what == "append":  # rows are inserted, the transaction is open
        _killing(load._Loader, "append", number, before=False)
    elif what == "booked":  # the file's transaction is committed
        _killing(load._Loader, "book", number, before=False)
    elif what == "write":  # so many tables of the release are there
        _killing(publish, "_copy_comments", number, before=False)
    elif what == "seal":  # the draft is whole and has its name to get
        _killing(publish, "_seal", number, before=False)
    elif what == "renamed":  # the release is there, the link leads to the former
        _killing(publish, "_point_current", number, before=True)
    elif what == "linked":  # the link leads to the new release
        _killing(publish, "_point_current", number, before=False)
    else:
        raise ValueError(point)


def _build(request: dict[str, Any], parsed: Any) -> int:
    import build

    build.parse_project = lambda: parsed
    if request["kill"]:
        _arm(request["kill"])
    return build.main([])


def _serve(scratch: Path) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.path.insert(0, str(ROOT / "scripts"))
    from dbt.cli.main import dbtRunner

    paths = ["--target-path", str(scratch / "target"), "--log-path", str(scratch)]
    quiet = ["--quiet", "--log-level-file", "none", "--no-use-colors"]
    parsed = dbtRunner().invoke([*quiet, "parse", "--no-partial-parse", *paths])
    answers.write("0\n" if parsed.success else "1\n")
    answers.flush()
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(log, 1)
                os.dup2(log, 2)
                os.environ.update(request["settings"])
                status = _build(request, parsed.result)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        _, status = os.waitpid(child, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
        answers.flush()


if __name__ == "__main__":
    {"serve": _serve, "poll": _poll}[sys.argv[1]](Path(sys.argv[2]))
