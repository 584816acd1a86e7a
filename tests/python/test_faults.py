"""Faults of disks, files and clocks: `current` stays good, one sentence says why, the next run
repairs. Kills are in test_kills.py. The project is the one of small_project.py."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb
import pytest

from database_errors import hints_at_damage, is_disk_full, is_out_of_memory
from faults import is_damaged
from publish import current_release, releases_in
from run_log import read_runs
from small_project import Project

BLOCK = 262_144
HEADERS = 3 * 4096


def build_script(
    project: Project,
    *options: str,
    prepare: Callable[[], None] | None = None,
    before: str = "",
    **settings: str,
) -> subprocess.CompletedProcess[str]:
    """Run scripts/build.py; `prepare` runs in the child, `before` is Python run before its main."""
    code = f"import sys; sys.path.insert(0, 'scripts'); {before}\nimport build\n"
    command = ["-c", code + "sys.exit(build.main())"] if before else ["scripts/build.py"]
    return subprocess.run(
        [sys.executable, *command, *options],
        cwd=project.root,
        env=project.environment(**settings),
        preexec_fn=prepare,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def assert_failed(project: Project, outcome: subprocess.CompletedProcess[str], text: str) -> None:
    """The run failed with a sentence, what is published is what it was."""
    assert outcome.returncode == 1, outcome
    assert "Traceback" not in outcome.stderr
    sentences = [line for line in outcome.stderr.splitlines() if re.search(text, line)]
    assert len(sentences) == 1, outcome.stderr
    assert project.rows() == [("c1",), ("c2",)]
    assert len(releases_in(project.published)) == 1


def assert_repaired(project: Project, *options: str) -> None:
    """The next normal run publishes."""
    former = project.current
    outcome = build_script(project, *options)
    assert outcome.returncode == 0, outcome.stderr
    assert project.current != former
    assert ("c1",) in project.rows()


# ------------------------------------------------------------------------------------ warehouse


def _truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _emptied(path: Path) -> None:
    os.truncate(path, 0)


def _without_header(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.write(bytes(4096))


def _with_noise(path: Path) -> None:
    """Random bytes in every block."""
    with path.open("r+b") as stream:
        for offset in range(HEADERS + 5000, path.stat().st_size, BLOCK):
            stream.seek(offset)
            stream.write(os.urandom(64))


def _with_noise_in_a_table(path: Path) -> None:
    """Random bytes where landed rows lie: the file opens, a model that reads them fails."""
    with duckdb.connect(str(path)) as con:
        con.execute("update raw.conversations set _extra = gen_random_uuid()::varchar")
        con.execute("checkpoint")
        blocks = con.execute(
            "select distinct block_id from pragma_storage_info('raw.conversations') "
            "where block_id >= 0"
        ).fetchall()
    assert blocks
    with path.open("r+b") as stream:
        for (block,) in blocks:
            stream.seek(HEADERS + block * BLOCK + 100)
            stream.write(os.urandom(BLOCK - 100))


def _checksum(content: bytes) -> int:
    result = 5381
    for (word,) in struct.iter_unpack("<Q", content):
        result ^= word * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    return result


def _of_a_later_version(path: Path) -> None:
    with path.open("r+b") as stream:
        header = bytearray(stream.read(4096))
        assert struct.unpack_from("<Q", header)[0] == _checksum(bytes(header[8:]))
        struct.pack_into("<Q", header, 12, 999)
        struct.pack_into("<Q", header, 0, _checksum(bytes(header[8:])))
        stream.seek(0)
        stream.write(header)
    with pytest.raises(duckdb.IOException, match="version number 999"):
        duckdb.connect(str(path))


@pytest.mark.parametrize(
    "damage",
    [
        _truncated,
        _emptied,
        _without_header,
        _with_noise,
        _with_noise_in_a_table,
        _of_a_later_version,
    ],
)
def test_a_damaged_warehouse_is_set_aside_and_built_anew(
    project: Project,
    damage: Callable[[Path], None],
) -> None:
    warehouse = project.root / "warehouse" / "demo.duckdb"
    project.land("second", "c3")
    damage(warehouse)
    content = warehouse.read_bytes()
    outcome = build_script(project, "--force")
    assert outcome.returncode == 0, outcome.stderr
    said = [line for line in outcome.stderr.splitlines() if "is damaged; it was set aside" in line]
    assert len(said) == 1, outcome.stderr
    (aside,) = warehouse.parent.glob("demo.duckdb.damaged-*Z")
    assert str(aside.relative_to(project.root)) in said[0]
    assert aside.read_bytes() == content or damage is _with_noise_in_a_table
    assert project.rows() == [("c1",), ("c2",), ("c3",)]
    assert read_runs(warehouse)[-1]["set_aside"] is True
    again = build_script(project)
    assert "Nothing has changed" in again.stdout, again.stderr


def test_the_look_for_damage_keeps_to_the_memory_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows are read after a failure that hints at damage, however many there are."""
    warehouse = tmp_path / "w.duckdb"
    with duckdb.connect(str(warehouse)) as con:
        con.execute("create table numbers as from range(1000)")
    limits: list[object] = []
    original = duckdb.connect

    def connect(*args: object, **options: object) -> duckdb.DuckDBPyConnection:
        opened: duckdb.DuckDBPyConnection = original(*args, **options)  # type: ignore[arg-type]
        limits.extend(opened.execute("select current_setting('memory_limit')").fetchone() or ())
        return opened

    monkeypatch.setenv("PARLEY_MEMORY_LIMIT", "512MiB")
    monkeypatch.setattr("faults.duckdb.connect", connect)
    assert not is_damaged(warehouse, duckdb.Error("FATAL Error: out of memory"))
    assert limits == ["512.0 MiB"]


def test_a_file_of_others_is_refused_and_not_touched(project: Project) -> None:
    theirs = project.root / "theirs" / "notes.duckdb"
    theirs.parent.mkdir()
    theirs.write_text("somebody's own notes\n" * 1000)
    for _ in range(2):  # the first attempt must not make it ours
        outcome = build_script(project, WAREHOUSE="theirs/notes.duckdb")
        assert_failed(project, outcome, r"theirs/notes\.duckdb is not a DuckDB file .* WAREHOUSE")
        assert theirs.read_text() == "somebody's own notes\n" * 1000
    assert not list(theirs.parent.glob("*damaged*"))


def test_own_rows_are_not_replaced_by_the_demo(project: Project) -> None:
    project.write("exports/conversations/one.csv", "conversation_id,channel\nown,web\n")
    settings = {"WAREHOUSE": "own/w.duckdb", "PUBLISHED": "own/published"}
    assert build_script(project, LANDING="exports", **settings).returncode == 0
    warehouse = project.root / "own" / "w.duckdb"
    _truncated(warehouse)
    outcome = build_script(project, **settings)
    assert_failed(project, outcome, "held your own exports; name them with LANDING")
    assert not list(warehouse.parent.glob("*damaged*"))
    outcome = build_script(project, LANDING="exports", **settings)
    assert outcome.returncode == 0, outcome.stderr
    assert list(warehouse.parent.glob("*damaged*"))


# ------------------------------------------------------------------------------------ full disk


def limit_files(size: int) -> None:
    """No file of this process may grow above so many bytes: the system says EFBIG then."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def land_much(project: Project) -> None:
    project.land("much", *(f"{number:x}" + os.urandom(20).hex() for number in range(20_000)))


def test_a_full_disk_while_loading(project: Project) -> None:
    land_much(project)
    outcome = build_script(project, prepare=partial(limit_files, 100_000))
    assert_failed(project, outcome, "^The disk is full, or a limit on file sizes is reached")
    assert "conversations/much.csv: the disk is full" in outcome.stderr
    assert_repaired(project)
    assert len(project.rows()) == 20_002


def test_a_full_disk_while_dbt_runs(project: Project) -> None:
    project.write(
        "models/marts/fct_conversations.sql",
        "select conversation_id, md5(range::varchar) || sha256(range::varchar) as text_id "
        "from {{ ref('conformed_conversations') }} cross join range(200_000)",
    )
    project.write("models/marts/models.yml", "version: 2\n")
    size = (project.root / "warehouse" / "demo.duckdb").stat().st_size
    outcome = build_script(project, prepare=partial(limit_files, size + 5_000_000))
    assert_failed(project, outcome, "^The disk is full, or a limit on file sizes is reached")
    assert "model fct_conversations" in outcome.stderr
    assert_repaired(project)


def test_too_little_memory(project: Project) -> None:
    project.write(
        "models/marts/fct_conversations.sql",
        "select conversation_id, cast(len(list(range)) as varchar) as text_id "
        "from {{ ref('conformed_conversations') }} cross join range(10_000_000) "
        "group by conversation_id",
    )
    project.write("models/marts/models.yml", "version: 2\n")
    outcome = build_script(project, MEMORY_LIMIT="100MB")
    assert_failed(project, outcome, "^DuckDB needs more memory than the 100 MB it may use: name")
    assert "model fct_conversations" in outcome.stderr
    assert_repaired(project)


def test_what_a_lack_of_memory_leaves_is_no_damage() -> None:
    lack = (
        "Out of Memory Error: could not allocate block of size 256.0 KiB (95.3 MiB/95.3 MiB used)"
    )
    given_up = (
        "FATAL Error: Failed: database has been invalidated because of a previous fatal error"
    )
    assert is_out_of_memory(RuntimeError(lack))
    assert not hints_at_damage(RuntimeError(f"{lack}\n{given_up}"))
    assert hints_at_damage(RuntimeError(given_up))
    assert hints_at_damage(
        RuntimeError(f"{lack}\nIO Error: Corrupt database file: computed checksum")
    )
    spilt = (
        "failed to offload data block of size 256.0 KiB (10 GiB/10 GiB used).\nThis limit was set"
    )
    full = RuntimeError(f"Out of Memory Error: {spilt} by the 'max_temp_directory_size' setting.")
    assert is_disk_full(full)
    assert not is_out_of_memory(full)


def test_a_full_disk_while_publishing(project: Project) -> None:
    limited = (
        "import publish, resource; write = publish._write\n"
        "def limited(*arguments):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "    return write(*arguments)\n"
        "publish._write = limited"
    )
    outcome = build_script(project, "--force", before=limited)
    assert "passed in" in outcome.stdout
    assert_failed(project, outcome, "^The disk is full, or a limit on file sizes is reached")
    assert read_runs(project.root / "warehouse" / "demo.duckdb")[-1]["step"] == "publish"
    assert_repaired(project, "--force")
    assert not list((project.published / "releases").glob(".*"))


def test_a_really_full_file_system(project: Project) -> None:
    """A file system of 1 MB in memory, seen by the build alone."""
    land_much(project)
    (project.root / "full").mkdir()
    mount = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-c"]
    script = 'mount -t tmpfs -o size=1m tmpfs full && exec "$@"'
    try:
        subprocess.run([*mount, script, "sh", "true"], cwd=project.root, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user may mount nothing")
    outcome = subprocess.run(
        [*mount, script, "sh", sys.executable, "scripts/build.py", "--ignore-disk"],
        cwd=project.root,
        env=project.environment(WAREHOUSE="full/w.duckdb"),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert_failed(project, outcome, "^The disk is full, or a limit on file sizes is reached")


# ----------------------------------------------------------------------------- files and rights


def without_privilege() -> None:
    """Let permissions count for root as well: drop the capabilities to ignore them, at exec."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            assert libc.prctl(24, capability, 0, 0, 0) == 0  # PR_CAPBSET_DROP


def test_an_unreadable_landing_file(project: Project) -> None:
    for name, row in (("first", "c1"), ("second", "c3")):
        project.write(f"exports/conversations/{name}.csv", f"conversation_id,channel\n{row},web\n")
    file = project.root / "exports" / "conversations" / "second.csv"
    file.chmod(0)
    outcome = build_script(project, prepare=without_privilege, LANDING="exports")
    assert_failed(project, outcome, r"^conversations/second\.csv.*Permission denied\.$")
    file.chmod(0o644)
    assert build_script(project, LANDING="exports").returncode == 0
    assert project.rows() == [("c1",), ("c3",)]


def test_an_unreadable_salt(project: Project) -> None:
    project.land("second", "c3")
    salt = project.root / "warehouse" / "salt"
    salt.chmod(0)
    outcome = build_script(project, prepare=without_privilege)
    assert_failed(project, outcome, r"^The salt warehouse/salt cannot be read; .*PARLEY_SALT")
    salt.chmod(0o600)
    assert_repaired(project)


def test_a_read_only_published_directory(project: Project) -> None:
    project.land("second", "c3")
    project.published.chmod(0o555)
    outcome = build_script(project, prepare=without_privilege)
    assert_failed(project, outcome, r"^published cannot be written; releases need it\.$")
    project.published.chmod(0o755)
    assert_repaired(project)


def test_current_is_a_directory(project: Project) -> None:
    link = project.published / "current"
    release = link.resolve()
    link.unlink()
    shutil.copytree(release, link)
    outcome = build_script(project, "--force")
    assert_failed(project, outcome, r"^published/current is not a link; move it away")
    shutil.rmtree(link)
    assert_repaired(project)


def test_the_disk_to_spill_to_is_missing(project: Project) -> None:
    spill = project.root / "unplugged" / "spill"
    outcome = build_script(project, SPILL=str(spill))
    assert_failed(project, outcome, r"^PARLEY_SPILL is .*unplugged/spill, .* is its disk there\?$")
    assert not spill.parent.exists()
    assert_repaired(project, "--force")


SMALL = "import shutil, types; shutil.disk_usage = lambda _: types.SimpleNamespace(free=50_000_000)"


def test_a_disk_too_small(project: Project) -> None:
    warehouse = project.root / "warehouse" / "demo.duckdb"

    def loads() -> tuple[int, ...]:
        with duckdb.connect(str(warehouse), read_only=True) as con:
            return con.execute("select count(*) from raw._loads").fetchone() or ()

    former = loads()
    project.land("second", "c3")
    outcome = build_script(project, before=SMALL)
    assert_failed(
        project,
        outcome,
        r"^The disk of \S+ has 50 MB free and about \d+ MB are needed \(.* for the warehouse, "
        r".* for a release\): make room there, or name another disk with WAREHOUSE or PUBLISHED\. "
        r"Nothing was loaded\.$",
    )
    assert loads() == former
    assert read_runs(warehouse)[-1]["reason"].startswith("The disk of ")
    assert_repaired(project)
    assert ("c3",) in project.rows()


def test_a_run_that_builds_nothing_needs_no_disk(project: Project) -> None:
    outcome = build_script(project, before=SMALL)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.splitlines()[-1].startswith("Nothing has changed since release ")
    outcome = build_script(project, "--force", before=SMALL)
    assert_failed(project, outcome, "^The disk of ")
    outcome = build_script(project, "--force", "--ignore-disk", before=SMALL)
    assert outcome.returncode == 0, outcome.stderr


def test_a_memory_limit_that_is_none(project: Project) -> None:
    outcome = build_script(project, MEMORY_LIMIT="much")
    assert_failed(project, outcome, r"^MEMORY_LIMIT must be a size such as 2GB or 800MB\.$")
    assert_repaired(project, "--force")


# ------------------------------------------------------------------------ releases and the note


def _half(release: Path) -> None:
    (release / "marts" / "fct_conversations.parquet").unlink()


def _cut(release: Path) -> None:
    (release / "parley.duckdb").chmod(0o644)
    os.truncate(release / "parley.duckdb", 100_000)


def _scribbled(release: Path) -> None:
    (release / "parley.duckdb").chmod(0o644)
    with (release / "parley.duckdb").open("r+b") as stream:
        stream.seek(20_000)
        stream.write(os.urandom(1000))


@pytest.mark.parametrize("damage", [_half, _cut, _scribbled, shutil.rmtree])
def test_a_damaged_release_is_published_anew(
    project: Project,
    damage: Callable[[Path], None],
) -> None:
    """Although nothing has changed that it was made from."""
    former = project.current
    assert former
    damage((project.published / "current").resolve())
    outcome = build_script(project)
    assert outcome.returncode == 0, outcome.stderr
    assert project.current not in (None, former)
    assert project.rows() == [("c1",), ("c2",)]


@pytest.mark.parametrize("content", [b"", b"\xff\x00\xfe", b"[1, 2]", b'{"inputs": 3}'])
def test_a_damaged_note_costs_a_build_and_no_more(
    project: Project,
    content: bytes,
) -> None:
    note = project.root / "warehouse" / "demo.duckdb.build.json"
    note.write_bytes(content)
    assert_repaired(project)
    assert "Nothing has changed" in build_script(project).stdout


def test_a_clock_that_goes_back(project: Project) -> None:
    """The clock of loads and releases says 2001, and as-of lies before the last one."""
    project.land("second", "c3")
    back = (
        "import datetime as clock, load, publish\n"
        "class AnyInstant(type):\n"
        "    def __instancecheck__(cls, value): return isinstance(value, clock.datetime)\n"
        "class Past(clock.datetime, metaclass=AnyInstant):\n"
        "    @classmethod\n"
        "    def now(cls, tz=None): return clock.datetime(2001, 1, 1, tzinfo=tz)\n"
        "load.datetime = publish.datetime = Past"
    )
    former = project.current
    outcome = build_script(project, before=back, AS_OF="2026-01-01T00:00:00Z")
    assert outcome.returncode == 0, outcome.stderr
    assert former
    assert project.current
    assert project.current > former
    assert project.rows() == [("c1",), ("c2",), ("c3",)]
    last = project.current
    assert build_script(project).returncode == 0
    assert project.current > last


def test_the_log_of_dbt_is_written_and_bounded(project: Project) -> None:
    small = "import build; build.DBT_LOG_BYTES = 1000"
    for _ in range(2):
        assert build_script(project, "--force", before=small).returncode == 0
    logs = sorted((project.root / "logs").iterdir())
    assert {"dbt.log", "dbt.log.1"} <= {path.name for path in logs}
    assert len(logs) <= 6


# --------------------------------------------------------------------------------- two at once


COMMANDS = {"build": ["scripts/build.py", "--force"], "dbt": ["-m", "dbt.cli.main", "build"]}


@pytest.mark.parametrize(("first", "second"), [("dbt", "dbt"), ("dbt", "build"), ("build", "dbt")])
def test_two_at_once_the_second_names_the_first(
    project: Project,
    first: str,
    second: str,
) -> None:
    """The first one waits in a model until the test lets it go on."""
    hold = project.root / "hold"
    os.mkfifo(hold)
    model = (project.root / "models" / "marts" / "fct_conversations.sql").read_text()
    project.write(
        "models/marts/fct_conversations.sql",
        "{{ config(pre_hook=\"select * from read_csv('hold', header = false)\") }}\n" + model,
    )
    with subprocess.Popen(
        [sys.executable, *COMMANDS[first]],
        cwd=project.root,
        env=project.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        writer = None
        while writer is None:
            assert process.poll() is None, process.stdout and process.stdout.read()
            try:
                writer = os.open(hold, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # ENXIO: nobody reads yet
                time.sleep(0.05)
        refused = subprocess.run(
            [sys.executable, *COMMANDS[second]],
            cwd=project.root,
            env=project.environment(DBT_TARGET_PATH="target/second"),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        os.write(writer, b"go\n")
        os.close(writer)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert refused.returncode != 0
    assert str(process.pid) in refused.stdout + refused.stderr, refused
    if second == "dbt":
        assert "Could not set lock on file" in refused.stdout
    else:
        assert len(refused.stderr.splitlines()) == 1
        assert "is in use by another process" in refused.stderr
    assert current_release(project.published)
    assert project.rows() == [("c1",), ("c2",)]
