"""Each macro of macros/engine gives on Spark what it gives on DuckDB."""

from __future__ import annotations

import hashlib
import hmac
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import jinja2
import pytest
from pyspark.sql import SparkSession

import spark_dbt
from engines import ROOT, SALT, plain
from salt import hmac_blocks

ENGINE = sorted((ROOT / "macros" / "engine").glob("*.sql"))


class Macros:
    """The macros of macros/engine as one engine gets them; `prefix` is spark or default."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        environment = jinja2.Environment(extensions=["jinja2.ext.do"], autoescape=False)
        source = "\n".join(path.read_text(encoding="utf-8") for path in ENGINE)
        self.module = environment.from_string(source).make_module(
            {"adapter": self, "return": lambda value: value, "ref": lambda name: name}
        )

    def dispatch(self, name: str, package: str = "") -> Any:
        """The implementation of a macro for this engine; the macro itself where all share it."""
        for candidate in (f"{self.prefix}__{name}", f"default__{name}"):
            if hasattr(self.module, candidate):
                return getattr(self.module, candidate)
        return getattr(self.module, name)


SPARK, DUCKDB = Macros("spark"), Macros("default")

Query = Callable[[Macros], str]
Compare = Callable[[Query], list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        inner, outer = hmac_blocks(SALT)
        con.execute("set variable parley_hmac_inner = $1", [inner])
        con.execute("set variable parley_hmac_outer = $1", [outer])
        yield con


@pytest.fixture(scope="module")
def on_both(con: duckdb.DuckDBPyConnection, session: SparkSession) -> Compare:
    """Runs a query on both engines, finds the rows equal and returns them, sorted."""

    def run(query: Query) -> list[tuple[Any, ...]]:
        def ordered(rows: list[Any]) -> list[tuple[Any, ...]]:
            return sorted((tuple(map(plain, row)) for row in rows), key=str)

        expected = ordered(con.execute(query(DUCKDB)).fetchall())
        found = ordered(session.sql(query(SPARK)).collect())
        assert len(found) == len(expected)
        for wanted, row in zip(expected, found, strict=True):
            for wants, has in zip(wanted, row, strict=True):
                if isinstance(wants, float) and isinstance(has, float):
                    assert math.isclose(wants, has, rel_tol=1e-9), (wanted, row)
                else:
                    assert (type(wants), wants) == (type(has), has), (wanted, row)
        return found

    return run


def of_texts(name: str, texts: list[str | None], *arguments: str) -> Query:
    """A query of each text and the macro's result for it."""

    def query(macros: Macros) -> str:
        rows = ", ".join(f"({macros.dispatch('text_literal')(text)})" for text in texts)
        call = macros.dispatch(name)("value", *arguments)
        return f"select value, {call} as result from (values {rows}) as inputs(value)"

    return query


TEXT = [
    None, "", "plain", "it's", 'a "quote"', "back\\slash", "two\nlines", "tab\there",
    "Grüße 你好 🙂", "ann@example.com", "a|b", "%_", "{{ braces }}",
]  # fmt: skip
PERSONAL = [
    *TEXT, "ann.lee+x@mail.example.com, bob@example.org", "call 13812345678 or wait",
    "13812345678 13912345678,13712345678", "138-1234-5678\n", "+44 20 7946 0958",
    "whatsapp:+4915123456789", "a+b", "id 11010519491231002X", "id 110105194912310021",
    "11010519491231002x.11010519491231002X", "card 4111 1111 1111 1111", "4111111111111112",
    "4111-1111-1111-1111;5500000000000004", "378282246310005", "order 12345", "1234567",
    "0049 (151) 2345-6789", "call 020 7946 0958", "export_ann@example.com.csv",
    "4111111111111111\r\n", "1.2.3.4.5.6.7", "$1 and $2", "2026-03-01 09:30",
]  # fmt: skip
NUMBERS = [
    None, "", "0", "1", "-1", "+7", " 7 ", "1.5", ".5", "5.", "1e3", "1.5E-2", "631.0", "2.5",
    "-0.0", "9223372036854775807", "9223372036854775808", "nan", "inf", "-Infinity", "1.0d", "1f",
    "0x10", "1,5", "1_000", "-", "abc", "1 2", "1558516038.3219311", "1558516038.32193155",
]  # fmt: skip
INSTANTS = [
    None, "", "2026-03-01", "2026-03-01T09:30", "2026-03-01 09:30:00", "2026-03-01T9:3:5",
    "2026-03-01T09:30:00.1234567", "2026-03-01T09:30:00Z", "2026-03-01T09:30:00z",
    "2026-03-01T09:30:00.5Z", "2026-03-01T09:30:00+08:00", "2026-03-01T09:30:00+0800",
    "2026-03-01T09:30:00+08", "2026-03-01T09:30:00 +08:00", "2026-03-01T09:30:00-00:30",
    "2026-03-01T09:30:00-0030", "2026-03-01T09:30:00+15:30", "2026-03-01T09:30:00+16:00",
    "2026-03-01T09:30:00+05:60", "2026-03-01T09:30+02:00", "2026-03-01T09:30Z",
    "0000-01-01T00:00:00Z", "2026-03-01 (BC) 00:00:00", "2026-03-01T09", "2026-02-30",
    "2026-03-01T25:00:00", "2026-03-01T09:30:60", "2026-03-01T09:30:00Europe/Berlin", "2026-03",
    "2026-03-01X09:30", "2026-03-01Z", "2026-03-01T09:30:00,5", "26-03-01", "tomorrow",
    "1969-12-31T23:59:59.999999Z", "2026-03-29 02:30:00", "2026-10-25 01:59:59",
    "2026-10-25 02:00:00", "2026-10-25 02:30:00", "2026-10-25 03:00:00", "2026-03-29T01:00:00Z",
    "2026-03-01T09:30:15", "2026-03-29T02:30:15", "2026-03-01T09:30+02", "2026-03-01T09:30:+2",
    "2026-03-01T09:30:1z", "2026-02-30T09:30:15", "2026-03-01T24:30:15",
]  # fmt: skip
JSON = [
    None, "", "{}", '{"a": 1}', '{"a": null}', '{"a": "x"}', '{"a": {"b": "y"}}', '{"a": true}',
    '{"a": "it\'s \\"so\\""}', '{"a": "\\u00e9"}', "[1]", "[]", '"text"', "1", "null", "nonsense",
    '{"a": 1', '{"a": 1} x', '{"a": 1}, {"b": 2}', "{'a': 1}", '{"a": 1, "a": 2}', ' {"a" : "s"} ',
    '{"a": 0.97}', '{"b": 2}',
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "texts", "arguments"),
    [
        ("mask_all", TEXT, ()),
        ("mask_identifiers", PERSONAL, ()),
        ("mask_long_numbers", PERSONAL, ()),
        ("mask_file_name", PERSONAL, ()),
        ("opaque_id", PERSONAL, ()),
        ("is_personal_id", PERSONAL, ()),
        ("may_be_personal", PERSONAL, ()),
        ("has_id_card", PERSONAL, ()),
        ("has_payment_card", PERSONAL, ()),
        ("has_checked_number", PERSONAL, ()),
        ("personal_kind", PERSONAL, ("false",)),
        ("personal_kind", PERSONAL, ("true",)),
        ("matches", PERSONAL, ("(^|[^0-9])1[0-9]+([^0-9]|$)",)),
        ("replace_matches", PERSONAL, ("([a-z])([0-9 ]+)", "$2<$1")),
        ("keyed_hash", TEXT, ()),
        ("to_number", NUMBERS, ()),
        ("to_integer", NUMBERS, ()),
        ("epoch_microseconds", NUMBERS, ()),
        (
            "to_boolean",
            [None, "", "true", "TRUE", "f", "1", "0", "yes", "No", "2", "on", " true ", "maybe"],
            (),
        ),
        (
            "to_date",
            [
                None, "", "2026-03-01", "2026-3-1", "2026-03", "2026", "2026-02-30", "20260301",
                "2026-03-01T09:00:00", "2026-03-01 09:00", " 2026-03-01", "soon",
            ],
            (),
        ),
        ("to_utc", INSTANTS, ("'UTC'",)),
        ("to_utc", INSTANTS, ("'Europe/Berlin'",)),
        ("to_utc", INSTANTS, ("cast(null as string)",)),
        ("is_json_object", JSON, ()),
        ("json_str", JSON, ("a",)),
        ("json_str", JSON, ("a.b",)),
    ],
)  # fmt: skip
def test_macro_of_a_text(
    on_both: Compare, name: str, texts: list[str | None], arguments: tuple[str, ...]
) -> None:
    rows = on_both(of_texts(name, texts, *arguments))
    assert len({result for _, result in rows}) > 1


def test_keyed_hash_is_hmac(on_both: Compare) -> None:
    for text, digest in on_both(of_texts("keyed_hash", ["ann", "你好"])):
        assert digest == hmac.new(SALT.encode(), text.encode(), hashlib.sha256).hexdigest()


def test_text_key_tells_texts_apart(session: SparkSession) -> None:
    rows = session.sql(of_texts("text_key", [*TEXT, "plain"])(SPARK)).collect()
    keys = {row.value: row.result for row in rows}
    assert keys.pop(None) is None
    assert len(set(keys.values())) == len(keys) == len(TEXT) - 1
    assert all(0 <= key < 2**63 for key in keys.values())


def test_clocks(on_both: Compare) -> None:
    instants = [
        "2026-03-29 00:59:59.5",
        "2026-03-29 01:00:00",
        "2026-10-25 01:30:00",
        "1969-07-20 20:17:40",
    ]

    def query(macros: Macros) -> str:
        rows = ", ".join(f"(timestamp '{instant}')" for instant in instants)
        local = macros.dispatch("to_local")("moment", "'Europe/Berlin'")
        same = macros.dispatch("to_local")("moment", "'UTC'")
        seconds = macros.dispatch("seconds_between")("timestamp '2026-03-29 00:00:00.25'", "moment")
        later = macros.dispatch("plus_hours")("moment", "0.3333333e0")
        weekday = macros.dispatch("iso_dow")("cast(moment as date)")
        micros = macros.dispatch("microseconds_to_utc")("1558516038321931")
        return (
            f"select moment, {local}, {same}, {seconds}, {later}, {weekday}, {micros} "
            f"from (values {rows}) as inputs(moment)"
        )

    assert len(on_both(query)) == len(instants)


def test_days_between(on_both: Compare) -> None:
    rows = on_both(
        lambda macros: (
            "with bounds as (select cast('2026-02-27' as date) as a, "
            "cast('2026-03-01' as date) + interval '1' year as b) "
            + macros.dispatch("days_between")("bounds", "a", "b")
        )
    )
    assert (rows[0], rows[-1], len(rows)) == (("2026-02-27",), ("2027-02-28",), 367)


def test_sorted_values(on_both: Compare) -> None:
    def query(macros: Macros) -> str:
        array = macros.dispatch("sorted_values")("value")
        size = macros.dispatch("array_size")("sorted")
        places = ", ".join(macros.dispatch("array_at")("sorted", str(n)) for n in (1, 2.0, 4))
        return (
            f"select name, coalesce({size}, 0), {places} from (select name, {array} as sorted from "
            "(values ('a', 3e0), ('a', -1e0), ('a', null), ('a', 3e0), ('b', null)) "
            "as inputs(name, value) group by name) as arrays"
        )

    assert on_both(query) == [("a", 3, -1.0, 3.0, None), ("b", 0, None, None, None)]


def test_merged_arrays(on_both: Compare) -> None:
    def query(macros: Macros) -> str:
        array = macros.dispatch("sorted_values")("value")
        merged = macros.dispatch("merged_arrays")("sorted")
        size = macros.dispatch("array_size")("merged")
        places = ", ".join(macros.dispatch("array_at")("merged", str(n)) for n in range(1, 6))
        return (
            f"select {size}, {places} from (select {merged} as merged from "
            f"(select name, {array} as sorted from "
            "(values ('a', 3), ('a', -1), ('b', 3), ('b', 2)) as inputs(name, value) "
            "group by name) as arrays) as all_values"
        )

    assert on_both(query) == [(4, -1, 2, 3, 3, None)]


def test_last_known(on_both: Compare) -> None:
    def query(macros: Macros) -> str:
        last = macros.dispatch("last_known")("case when value > 1 then value end")
        return (
            f"select place, {last} over (partition by name order by place rows between unbounded "
            "preceding and 1 preceding) as last from (values ('a', 1, 1), ('a', 2, 5), "
            "('a', 3, null), ('a', 4, 2), ('a', 5, 3), ('b', 6, 9)) as inputs(name, place, value)"
        )

    assert on_both(query) == [(1, None), (2, None), (3, 5), (4, 5), (5, 2), (6, None)]


def test_ordered_concat(on_both: Compare) -> None:
    def query(macros: Macros) -> str:
        texts = macros.dispatch("ordered_concat")("value", " | ", "place desc")
        return (
            f"select name, {texts} from (values ('a', 'x', 3), ('a', 'Y', 1), ('a', null, 2), "
            "('b', null, 1)) as inputs(name, value, place) group by name"
        )

    assert on_both(query) == [("a", "x | Y"), ("b", None)]


def test_split_rows(
    on_both: Compare, con: duckdb.DuckDBPyConnection, session: SparkSession
) -> None:
    rows = "(values (1, 'a | b|a'), (2, 'c'), (3, null), (4, '|'), (5, '')) as inputs(id, parts)"
    con.execute(f"create or replace temp table cited as select * from {rows}")
    session.sql(f"select * from {rows}").createOrReplaceTempView("cited")
    found = on_both(lambda macros: macros.dispatch("split_rows")("cited", ["id"], "parts", "part"))
    assert found == [(1, "a"), (1, "b"), (2, "c"), (4, ""), (5, "")]


def test_json_row(on_both: Compare) -> None:
    columns = [{"name": "name", "personal": True}, {"name": "note", "personal": False}]

    def query(macros: Macros) -> str:
        literal = macros.dispatch("text_literal")
        rows = ", ".join(f"({literal(text)}, {literal(text)})" for text in [*TEXT, "\x01", "a/b"])
        row = macros.dispatch("json_row")(columns)
        return f"select {row} from (values {rows}) as inputs(name, note)"

    assert ('{"name":"**\'*","note":"it\'s"}',) in on_both(query)


def test_mask_row(on_both: Compare) -> None:
    columns = [{"name": "name", "personal": True}, {"name": "note", "personal": False}]

    def query(macros: Macros) -> str:
        literal = macros.dispatch("text_literal")
        rows = ", ".join(f"({literal(text)}, {literal(text)})" for text in PERSONAL)
        row = macros.dispatch("mask_row")(columns)
        return f"select note, {row} from (values {rows}) as inputs(name, note)"

    assert ("a+b", '{"name":"*+*","note":"a+b"}') in on_both(query)


def test_follow_links(on_both: Compare) -> None:
    links = [("a", "b"), ("b", "c"), ("d", "c"), ("x", "y"), ("y", "x"), ("z", "x"), ("s", "s")]

    def query(macros: Macros) -> str:
        rows = ", ".join(f"('{start}', '{end}')" for start, end in links)
        followed = macros.dispatch("follow_links")("links", "id", "next_id")
        return (
            f"with recursive links as (select * from (values {rows}) as inputs(id, next_id)), "
            f"{followed} select id, survivor_id, is_cycle from followed"
        )

    assert ("a", "c", False) in on_both(query)


def test_every_macro_of_the_engine_is_tested() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    names = {
        name.removeprefix("default__")
        for name in vars(DUCKDB.module)
        if not name.startswith(("spark_", "_"))
    }
    # run by the small project below; no SQL of its own
    names -= {"prepare_session", "personal_pattern"}
    assert [name for name in sorted(names) if f'"{name}"' not in here] == []


# ------------------------------------------------------------------ what dbt itself calls


@pytest.fixture(scope="module")
def small_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of one seed and two models with contracts, one of which is broken."""
    root = tmp_path_factory.mktemp("project")
    (root / "dbt_project.yml").write_text(
        "name: parley\nprofile: parley\nmodels: {+materialized: table}\n"
        "seeds: {parley: {+column_types: {name: string, day: date, share: double, ok: boolean}}}\n"
        'on-run-start: "{{ prepare_session() }}"\n'
    )
    shutil.copy(ROOT / "profiles.yml", root)
    shutil.copytree(ROOT / "macros" / "engine", root / "macros")
    (root / "seeds").mkdir()
    (root / "seeds" / "awkward.csv").write_text(
        'name,day,share,ok\n"it\'s",2026-03-01,0.1,true\n'
        '"back\\slash %s, 你好",,1e3,\n,2026-02-28,,false\n',
        encoding="utf-8",
    )
    (root / "models").mkdir()
    contract = (
        "config: {contract: {enforced: true}}, "
        "columns: [{name: name, data_type: string, constraints: [{type: not_null}]}]"
    )
    (root / "models" / "models.yml").write_text(
        "models:\n" + "".join(f"  - {{name: {name}, {contract}}}\n" for name in ("whole", "broken"))
    )
    (root / "models" / "whole.sql").write_text(
        "select name from {{ ref('awkward') }} where name is not null"
    )
    (root / "models" / "broken.sql").write_text("select name from {{ ref('awkward') }}")
    return root


def dbt(project: Path, *arguments: str) -> bool:
    return spark_dbt.run_dbt(
        [
            *arguments, "--project-dir", str(project), "--profiles-dir", str(project),
            "--target-path", str(project / "target"), "--log-path", str(project / "logs"),
        ]
    )  # fmt: skip


def test_seeds_arrive_as_they_stand_in_the_file(session: SparkSession, small_project: Path) -> None:
    assert dbt(small_project, "seed")
    rows = session.sql("select name, day, share, ok from parley.awkward").collect()
    assert sorted((tuple(map(plain, row)) for row in rows), key=str) == sorted(
        [
            ("it's", "2026-03-01", 0.1, True),
            ("back\\slash %s, 你好", None, 1000.0, None),
            (None, "2026-02-28", None, False),
        ],
        key=str,
    )


def test_a_null_against_the_contract_stops_the_model(
    session: SparkSession, small_project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert dbt(small_project, "seed")
    assert dbt(small_project, "run", "--select", "whole")
    assert not dbt(small_project, "run", "--select", "broken")
    assert "Column name of parley.broken is null in 1 rows" in capfd.readouterr().out


def test_another_time_zone_stops_the_run(
    session: SparkSession, small_project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    session.conf.set("spark.sql.session.timeZone", "Europe/Berlin")
    try:
        assert not dbt(small_project, "run", "--select", "whole")
    finally:
        session.conf.set("spark.sql.session.timeZone", "UTC")
    assert "time zone is Europe/Berlin; set spark.sql.session.timeZone to UTC" in (
        capfd.readouterr().out
    )
