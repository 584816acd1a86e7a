"""Releases: whole, read-only, readable by old clients, switched in one step, kept for a while."""

from __future__ import annotations

import multiprocessing
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

import publish as publishing
from publish import Base, PublishError, current_release, publish, releases_in, storage_number

NOON = datetime(2026, 7, 5, 12, tzinfo=UTC)


def write_warehouse(path: Path, version: int = 1, rows: int = 1000) -> Path:
    """A warehouse whose marts all carry one version, in an order that says nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as con:
        con.execute("create schema marts; create schema raw; create schema staging")
        con.execute("create table raw.messages as select 'private' as text")
        con.execute("create view staging.secrets as select 'private' as text")
        con.execute(
            "create table marts.facts (fact_id varchar not null, version integer, amount double, "
            "happened_at timestamp, tags varchar[])"
        )
        con.execute(
            f"insert into marts.facts select 'f' || i, {version}, i / 7, "
            "timestamp '2026-01-01' + to_hours(cast(i as integer)), ['a', null, 'b'] "
            f"from range({rows}) as numbers (i) order by hash(i + {version})"
        )
        con.execute("comment on table marts.facts is 'One row per fact.'")
        con.execute("comment on column marts.facts.amount is 'Amount, it''s in EUR.'")
        con.execute('create table marts."odd ""name" as select true as is_odd')
    return path


def read_published(folder: Path, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(folder / "parley.duckdb"), read_only=True) as con:
        return con.execute(sql).fetchall()


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return write_warehouse(tmp_path / "warehouse" / "demo.duckdb")


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return tmp_path / "published"


def test_a_release_holds_the_marts_and_nothing_else(warehouse: Path, published: Path) -> None:
    release = publish(warehouse, published, now=NOON)
    current = published / "current"
    assert current.resolve() == release.path.resolve()
    assert release.id.startswith("20260705T120000Z-")
    assert release.rows == {"facts": 1000, 'odd "name': 1}
    files = sorted(path for path in release.path.rglob("*") if path.is_file())
    assert [str(path.relative_to(release.path)) for path in files] == [
        "marts/facts.parquet",
        'marts/odd "name.parquet',
        "parley.duckdb",
    ]
    assert release.bytes == sum(path.stat().st_size for path in files)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o444 for path in files)
    assert read_published(
        current,
        "select distinct schema_name from (from duckdb_tables() select schema_name union all "
        "from duckdb_views() select schema_name where not internal)",
    ) == [("marts",)]
    assert b"private" not in (current / "parley.duckdb").read_bytes()


def test_both_forms_hold_the_same_rows_in_the_same_order(warehouse: Path, published: Path) -> None:
    """In that of time."""
    publish(warehouse, published)
    current = published / "current"
    rows = read_published(current, "from marts.facts")
    parquet = duckdb.sql(f"from '{current}/marts/facts.parquet'")
    assert parquet.fetchall() == rows == sorted(rows, key=lambda row: (row[3], row[0]))
    described = read_published(
        current, "select column_name, column_type from (describe marts.facts)"
    )
    assert [(name, kind) for name, kind in zip(parquet.columns, parquet.types, strict=True)] == [
        (name, kind) for name, kind in described
    ]


def test_not_null_and_comments_are_kept(warehouse: Path, published: Path) -> None:
    publish(warehouse, published)
    current = published / "current"
    columns = read_published(
        current,
        "select column_name, is_nullable, comment from duckdb_columns() "
        "where table_name = 'facts' and (not is_nullable or comment is not null)",
    )
    assert columns == [("fact_id", False, None), ("amount", True, "Amount, it's in EUR.")]
    comment = "select comment from duckdb_tables() where comment is not null"
    assert read_published(current, comment) == [("One row per fact.",)]


def test_every_1x_client_reads_the_file(warehouse: Path, published: Path) -> None:
    assert storage_number(warehouse) >= 64
    publish(warehouse, published)
    assert storage_number(published / "current" / "parley.duckdb") == 64


def test_a_newer_storage_version_is_not_published(
    warehouse: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "STORAGE_VERSION", "v1.5.0")
    with pytest.raises(PublishError, match=r"every 1\.x client"):
        publish(warehouse, published)
    assert not releases_in(published)
    assert not list((published / "releases").iterdir())


def test_equal_marts_give_equal_files(tmp_path: Path, published: Path) -> None:
    first = publish(write_warehouse(tmp_path / "a" / "w.duckdb"), published, now=NOON)
    second = publish(write_warehouse(tmp_path / "b" / "w.duckdb"), published, now=NOON)
    assert first.id != second.id
    assert first.id.split("-")[1] == second.id.split("-")[1]
    third = publish(write_warehouse(tmp_path / "c" / "w.duckdb", version=2), published, now=NOON)
    assert third.id.split("-")[1] != first.id.split("-")[1]


def test_three_releases_are_kept_and_ids_grow_when_the_clock_goes_back(
    warehouse: Path, published: Path
) -> None:
    instants = [NOON, NOON, datetime(2020, 1, 1, tzinfo=UTC), NOON, NOON]
    ids = [publish(warehouse, published, now=instant).id for instant in instants]
    assert ids == sorted(set(ids))
    assert releases_in(published) == ids[-3:]
    assert current_release(published) == ids[-1]
    last = publish(warehouse, published, keep=1).id
    assert releases_in(published) == [last]


def test_a_reader_keeps_the_release_it_opened(tmp_path: Path, published: Path) -> None:
    path = tmp_path / "w.duckdb"
    publish(write_warehouse(path), published)
    with duckdb.connect(str(published / "current" / "parley.duckdb"), read_only=True) as reader:
        for version in range(2, 6):  # the release it reads is removed in between
            publish(write_warehouse(path, version), published)
            assert reader.execute(
                "select min(version), max(version), count(*) from marts.facts"
            ).fetchall() == [(1, 1, 1000)]
    assert read_published(published / "current", "select max(version) from marts.facts") == [(5,)]


def _poll(published: str, stop: object, outcome: object) -> None:
    """Open `current` again and again; report versions seen, or the first fault."""
    seen: list[int] = []
    try:
        while not stop.is_set():  # type: ignore[attr-defined]
            rows = read_published(
                Path(published) / "current",
                "select version, count(*) from marts.facts group by version",
            )
            assert len(rows) == 1, rows
            assert rows[0][1] == 1000, rows
            seen.append(int(str(rows[0][0])))
        outcome.put(seen)  # type: ignore[attr-defined]
    except BaseException as error:
        outcome.put(repr(error))  # type: ignore[attr-defined]
        raise


def test_a_polling_reader_never_misses(tmp_path: Path, published: Path) -> None:
    path = tmp_path / "w.duckdb"
    publish(write_warehouse(path), published)
    context = multiprocessing.get_context("spawn")
    stop, outcome = context.Event(), context.Queue()
    reader = context.Process(target=_poll, args=(str(published), stop, outcome))
    reader.start()
    try:
        for version in range(2, 9):
            publish(write_warehouse(path, version), published)
    finally:
        stop.set()
        seen = outcome.get(timeout=20)
        reader.join(timeout=20)
    assert isinstance(seen, list), seen
    assert seen == sorted(seen)
    assert reader.exitcode == 0


# ------------------------------------------------------------- a release made of the one before

KEPT = {"facts": "fact_id", "log": None, "quiet": "fact_id", "owned": "owner", "lent": "owner"}


def write_run(path: Path, removed: str, added: str, *, logged: int = 1) -> Path:
    """A warehouse as a run on what is new leaves it: rows of `facts` replaced, `log` longer."""
    with duckdb.connect(str(path)) as con:
        con.execute("create schema if not exists touched")
        for table in KEPT:
            con.execute(f"create or replace table touched.{table} as from marts.{table} limit 0")
            con.execute(f"create or replace table touched.{table}__before as from touched.{table}")
        con.execute(f"insert into touched.facts__before from marts.facts where {removed}")
        con.execute(f"delete from marts.facts where {removed}")
        con.execute(
            "insert into touched.facts select 'f' || i, 2, i / 3, timestamp '2026-03-01', ['new'] "
            f"from {added} as numbers (i)"
        )
        con.execute("insert into marts.facts from touched.facts order by fact_id desc")
        con.execute(f"insert into touched.log select 'l' || i from range({logged}) as n (i)")
        con.execute("insert into marts.log from touched.log")
        # What belongs to nobody is replaced in one of two tables.
        for table, taken in {
            "owned": "owner is null or owner = 'o77'",
            "lent": "owner = 'o77'",
        }.items():
            con.execute(
                f"insert into touched.{table}__before from marts.{table} where {taken};"
                f"insert into touched.{table} select * replace (amount + 1 as amount) "
                f"from touched.{table}__before;"
                f"delete from marts.{table} where {taken};"
                f"insert into marts.{table} from touched.{table}"
            )
        con.execute('update marts."odd ""name" set is_odd = not is_odd')
    return path


@pytest.fixture
def kept(tmp_path: Path, published: Path) -> Path:
    """A warehouse of several row groups, as it was published."""
    path = write_warehouse(tmp_path / "warehouse" / "w.duckdb", rows=300_000)
    with duckdb.connect(str(path)) as con:
        con.execute("update marts.facts set happened_at = null where fact_id in ('f5', 'f250000')")
        con.execute("create table marts.log as select 'first' as line")
        con.execute("create table marts.quiet as select 'f' || i as fact_id from range(9) as n (i)")
        con.execute(
            "create table marts.owned as select i as amount, "
            "case when i % 100000 > 9 then 'o' || i end as owner from range(400000) as n (i)"
        )
        con.execute("create table marts.lent as from marts.owned")
    publish(path, published)
    return path


def base(published: Path) -> Base:
    return Base((published / "current").resolve(), KEPT)


def assert_holds(current: Path, warehouse: Path) -> None:
    """Both forms of a release hold the rows of the warehouse."""
    with duckdb.connect() as con:
        con.execute(f"attach '{warehouse}' as w (read_only)")
        con.execute(f"attach '{current}/parley.duckdb' as p (read_only)")
        for table in [*KEPT, '"odd ""name"']:
            file = f"'{current}/marts/{table.replace(chr(34) * 2, chr(34)).strip(chr(34))}.parquet'"
            for form in (f"p.marts.{table}", f"read_parquet({file})"):
                for one, other in ((f"w.marts.{table}", form), (form, f"w.marts.{table}")):
                    missing = con.execute(f"from {one} except all from {other}").fetchall()
                    assert missing == [], (table, form)


@pytest.mark.parametrize(
    ("removed", "added"),
    [
        ("fact_id in ('f3', 'f299999')", "(select unnest([3, 300001, 300002]))"),
        ("fact_id between 'f1' and 'f13'", "range(20000, 30000)"),
        ("false", "range(400000, 400001)"),
        ("amount > 30000", "range(0)"),
        ("fact_id in ('f5', 'f299999')", "range(1)"),  # one without an instant
        ("true", "range(5)"),
    ],
)
def test_a_run_on_what_is_new_publishes_what_a_full_one_would(
    kept: Path, published: Path, removed: str, added: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        # A table that is kept is never copied, nor is one that nothing happened to written again.
        original = publishing._copy

        def copied(con: object, table: str, **options: bool) -> int:
            assert table not in KEPT, table
            return original(con, table, **options)  # type: ignore[arg-type]

        patch.setattr(publishing, "_copy", copied)
        for _ in range(2):  # the second goes on from a release that was made so itself
            former = (published / "current").resolve()
            release = publish(write_run(kept, removed, added), published, base=base(published))
            assert_holds(release.path, kept)
            shared = [path / "marts" / "quiet.parquet" for path in (former, release.path)]
            assert shared[0].samefile(shared[1])
            assert storage_number(release.path / "parley.duckdb") == 64
            removed = "fact_id = 'f7'"
            added = "(select 7)"


def test_a_table_too_long_to_delete_from_is_copied(
    kept: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "most_rows_to_delete_from", lambda _: 299_999)
    copied: list[str] = []
    original = publishing._copy

    def copy(con: duckdb.DuckDBPyConnection, table: str, *, in_order: bool) -> int:
        copied.append(table)
        return original(con, table, in_order=in_order)

    monkeypatch.setattr(publishing, "_copy", copy)
    release = publish(
        write_run(kept, "fact_id = 'f3'", "(select 3)"), published, base=base(published)
    )
    assert_holds(release.path, kept)
    assert copied == ["facts", "owned", "lent", 'odd "name']  # the last has always been


def test_groups_of_a_parquet_file_are_shared_with_the_release_before(
    kept: Path, published: Path
) -> None:
    former = (published / "current").resolve() / "marts" / "facts.parquet"
    run = write_run(kept, "fact_id = 'f299999'", "(select 300001)")  # it stands in the last group
    release = publish(run, published, base=base(published))
    path = release.path / "marts" / "facts.parquet"
    groups = publishing.group_rows(former), publishing.group_rows(path)
    assert len(groups[0]) == len(groups[1]) == 3
    assert sum(groups[0]) == sum(groups[1]) == 300_000
    assert path.read_bytes()[:500_000] == former.read_bytes()[:500_000]
    assert not list(release.path.rglob(".*"))


@pytest.mark.parametrize("table", ["facts", "log"])
def test_a_base_that_does_not_lead_to_the_warehouse_is_not_used(
    kept: Path, published: Path, table: str
) -> None:
    write_run(kept, "fact_id = 'f3'", "(select 3)")
    with duckdb.connect(str(kept)) as con:  # a row no run told of
        con.execute(f"insert into marts.{table} from marts.{table} limit 1")
    release = publish(kept, published, base=base(published))
    assert_holds(release.path, kept)
    assert not list((published / "releases").glob(".*"))


class _Killed(BaseException):
    """Stands for SIGKILL: nothing is cleaned up."""


@pytest.mark.parametrize("step", ["_change", "_splice"])
def test_a_run_killed_while_it_changes_a_release_leaves_current(
    kept: Path, published: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = (published / "current").resolve()
    files = {path: path.read_bytes() for path in former.rglob("*") if path.is_file()}
    write_run(kept, "fact_id = 'f3'", "(select 3)")
    original = getattr(publishing, step)

    def killed(*arguments: object) -> None:
        original(*arguments)
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(publishing, step, killed)
        with pytest.raises(_Killed):
            publish(kept, published, base=base(published))
    assert (published / "current").resolve() == former
    assert files == {path: path.read_bytes() for path in former.rglob("*") if path.is_file()}
    release = publish(kept, published, base=base(published))
    assert_holds(release.path, kept)


@pytest.mark.parametrize("step", ["_write", "_seal", "_new_id", "_point_current"])
def test_a_run_killed_anywhere_leaves_current_and_is_swept_up(
    warehouse: Path, published: Path, step: str
) -> None:
    first = publish(warehouse, published, now=NOON)

    with pytest.MonkeyPatch.context() as patch:
        original = getattr(publishing, step)

        def killed(*arguments: object) -> None:
            if step != "_point_current":
                original(*arguments)
            raise _Killed

        patch.setattr(publishing, step, killed)
        patch.setattr(publishing.shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(_Killed):
            publish(warehouse, published, now=NOON)
    (published / ".current-dead").symlink_to("releases/nothing")
    assert current_release(published) == first.id

    last = publish(warehouse, published, now=NOON)
    assert current_release(published) == last.id
    assert not list((published / "releases").glob(".*"))
    assert sorted(path.name for path in published.iterdir()) == [".lock", "current", "releases"]


@pytest.mark.parametrize("is_continued", [False, True])
def test_what_is_not_approved_is_not_published(
    warehouse: Path, published: Path, is_continued: bool
) -> None:
    first = publish(warehouse, published, now=NOON)
    seen: list[tuple[str | None, list[str]]] = []

    def refuse() -> None:
        (draft,) = (published / "releases").glob(".draft-*")
        seen.append((current_release(published), sorted(path.name for path in draft.iterdir())))
        raise _Killed

    with pytest.raises(_Killed):
        publish(
            warehouse,
            published,
            base=Base(first.path, {}) if is_continued else None,
            approve=refuse,
        )
    assert seen == [(first.id, ["marts", "parley.duckdb"])]
    assert releases_in(published) == [first.id] == [current_release(published)]
    assert not list((published / "releases").glob(".*"))


def test_only_named_tables_are_published(warehouse: Path, published: Path) -> None:
    assert publish(warehouse, published, tables=["facts"]).rows == {"facts": 1000}
    with pytest.raises(PublishError, match=r"no table marts\.absent"):
        publish(warehouse, published, tables=["facts", "absent"])


def test_an_empty_warehouse_and_a_foreign_current_are_refused(
    tmp_path: Path, warehouse: Path, published: Path
) -> None:
    with duckdb.connect(str(tmp_path / "empty.duckdb")) as con:
        con.execute("create schema marts")
    with pytest.raises(PublishError, match="no table in schema marts"):
        publish(tmp_path / "empty.duckdb", published)
    (published / "current").mkdir(parents=True)
    with pytest.raises(PublishError, match="is not a link"):
        publish(warehouse, published)


def test_a_view_in_marts_is_published_as_a_table(warehouse: Path, published: Path) -> None:
    with duckdb.connect(str(warehouse)) as con:
        con.execute("create view marts.large as from marts.facts where amount > 100")
    assert publish(warehouse, published).rows["large"] == 299
    assert read_published(
        published / "current", "select count(*) from duckdb_views() where not internal"
    ) == [(0,)]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_but_the_owner_may_write_whatever_the_umask(
    warehouse: Path, published: Path, umask: int
) -> None:
    former = os.umask(umask)
    try:
        release = publish(warehouse, published)
    finally:
        os.umask(former)
    for path in (release.path, *release.path.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o755 if path.is_dir() else 0o444), path
    for folder in (published, published / "releases"):  # the owner says who may enter
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755 & ~umask
    assert (published / "current").is_symlink()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_release_cannot_be_opened_for_writing(warehouse: Path, published: Path) -> None:
    publish(warehouse, published)
    with pytest.raises(duckdb.IOException):
        duckdb.connect(str(published / "current" / "parley.duckdb"))
