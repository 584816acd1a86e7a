"""The loader under a thousand damaged, odd and strange files: what it accepts is what is there.

Each case is a landing with a file that a plain Python reader reads too, if it can be read at all.
It ends *accepted*, and then every value stands in the raw table unchanged, or *refused* with one
sentence that quotes nothing of the data, and then nothing of it is left. Further damaged files go
through the models together: each of their rows is accepted, superseded or rejected with its reason.
What single values come to is looked at in test_load_dirt.py.

PARLEY_FUZZ_CASES sets the number of cases; another one than the default tries new cases each time.
"""

from __future__ import annotations

import codecs
import csv
import functools
import gzip
import hashlib
import io
import json
import math
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import load
from contract import Table, read_contract
from harness import build_anew, scratch_directory
from landing import LandingError
from load import load_landing

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = 1_200
RECONCILED = 0.5  # further cases, as a share of the others, that go through the models
CASES = int(os.environ.get("PARLEY_FUZZ_CASES") or DEFAULT)
TABLES = read_contract()
REAL_TABLES = {
    "rasa_adorsys/conversation_event.csv": "rasa/conversation_event",
    "rasa_adorsys/tracker_store_events.csv": "rasa/events",
    "ibm_twitter_care/conversations.csv": "conversations",
    "ibm_twitter_care/messages.csv": "messages",
    "irc_ubuntu_dev/messages.csv": "messages",
}
ENDINGS: Counter[str] = Counter()

# Words a sentence may hold although they stand in the data as well: the loader's own.
OWN_WORDS = {
    word
    for path in [*(ROOT / "scripts").glob("*.py"), *(ROOT / "models").rglob("_*.yml")]
    for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))
}

Row = dict[str, Any]


def fuzz(share: float) -> Callable[..., Any]:
    """Settings of a test that runs `share` of the cases."""
    return settings(
        max_examples=max(1, round(CASES * share)),
        deadline=None,
        database=None,
        derandomize=CASES == DEFAULT,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )


# ------------------------------------------------------------------------- an independent reader


class UnreadableError(Exception):
    """Plain Python does not read the file."""


def content_of(name: str, content: bytes, encoding: str) -> str:
    """The text of a file, its byte order mark left out."""
    try:
        if name.endswith(".gz"):
            content = gzip.decompress(content)
        return content.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise UnreadableError from error


def csv_rows(text: str, delimiter: str) -> list[Row]:
    """Rows of a CSV file by column name; an empty value is None."""
    csv.field_size_limit(1 << 30)
    try:
        header, *rows = [
            fields
            for fields in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
            if fields
        ]
    except (csv.Error, ValueError) as error:
        raise UnreadableError from error
    if any(len(fields) != len(header) for fields in rows):
        raise UnreadableError
    return [dict(zip(header, (field or None for field in fields), strict=True)) for fields in rows]


def has_loose_quotes(text: str, delimiter: str) -> bool:
    """Whether quotes may stand beside spaces: DuckDB skips these, plain Python does not."""
    return bool(re.search(rf'[{delimiter}\n\r] +"|" +[{delimiter}\n\r]|" +$', text))


def json_rows(text: str) -> list[Row]:
    """Rows of a JSON lines file by key; numbers stay text."""
    rows = []
    for line in text.split("\n"):
        if line.strip(" \t\r"):
            try:
                row = json.loads(line, parse_int=Number, parse_float=Number, parse_constant=Number)
            except (ValueError, RecursionError) as error:
                raise UnreadableError from error
            if not isinstance(row, dict):
                raise UnreadableError
            rows.append(row)
    return rows


class Number(str):
    """A JSON number as written."""

    __slots__ = ()


def is_same(value: Any, found: str | None) -> bool:
    """Whether a raw text says what a value of the file says."""
    if value is None:
        return found is None
    if found is None:
        return value == ""
    if isinstance(value, Number):
        whole = re.fullmatch(r"-?\d+", value) and value != "-0"
        return found == value if whole else _is_same_number(value, found)
    if isinstance(value, bool):
        return found == str(value).lower()
    if isinstance(value, str):
        return found == value
    nested = json.loads(found, parse_int=Number, parse_float=Number, parse_constant=Number)
    return _is_same_nested(value, nested)


def _is_same_number(value: str, found: str) -> bool:
    one, other = float(value), float(found)
    return one == other or (math.isnan(one) and math.isnan(other))


def _is_same_nested(value: Any, found: Any) -> bool:
    if isinstance(value, Number) and isinstance(found, Number):
        return is_same(value, found)
    if isinstance(value, dict) and isinstance(found, dict):
        return list(value) == list(found) and all(
            _is_same_nested(value[key], found[key]) for key in value
        )
    if isinstance(value, list) and isinstance(found, list):
        return len(value) == len(found) and all(map(_is_same_nested, value, found))
    return bool(value == found and type(value) is type(found))


# --------------------------------------------------------------------------------------- a case


class Bench:
    """One warehouse in memory, emptied after each case, and a landing that is written anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.con = duckdb.connect()
        load.create_raw(self.con)
        self.number = 0

    def run(self, table: Table, files: dict[str, bytes], declared: str = "") -> str | None:
        """Load files of a table; the refusal, or None when all were accepted."""
        self.number += 1
        self.landing = self.folder / str(self.number)
        (self.landing / table.folder).mkdir(parents=True)
        for name, content in files.items():
            (self.landing / table.folder / name).write_bytes(content)
        if declared:
            (self.landing / "landing.yml").write_text(declared)
        try:
            load_landing(self.con, self.landing, progress=False)
        except LandingError as error:
            return str(error)
        return None

    def loads(self) -> list[Row]:
        """Lines of `_loads`, in the order the files were loaded."""
        return self._rows("select * from raw._loads order by first_row_id, file")

    def rows(self, table: Table, file: str) -> list[Row]:
        """Rows of one file in order of their numbers."""
        return self._rows(
            f"select * from raw.{table.raw_name} where _file = ? order by _row_number", [file]
        )

    def _rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        cursor = self.con.execute(sql, list(parameters))
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]

    def empty(self, table: Table) -> None:
        """Forget all that was loaded."""
        self.con.execute(f"delete from raw.{table.raw_name}")
        self.con.execute("delete from raw._loads")
        self.con.execute("delete from raw._files_seen")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    contract = functools.cache(read_contract)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "read_contract", contract)
        made = Bench(tmp_path_factory.mktemp("fuzz"))
        yield made
        made.con.close()


def check_sentence(refusal: str, contents: Sequence[bytes]) -> None:
    """A refusal is one sentence and quotes no word of the data."""
    assert "\n" not in refusal
    assert refusal.endswith((".", "?")), refusal
    assert len(refusal) < 400
    words = {word for word in re.findall(r"\w+", refusal) if len(word) > 3} - OWN_WORDS
    data = b"\n".join(contents)
    assert not [word for word in words if word.encode() in data], refusal


def check_accepted(
    bench: Bench, table: Table, name: str, content: bytes, known: list[Row] | None
) -> None:
    """What stands in the raw table is what a plain reader, or who wrote the file, knows."""
    (line,) = [one for one in bench.loads() if one["file"] == f"{table.folder}/{name}"]
    rows = bench.rows(table, line["file"])
    assert line["row_count"] == len(rows)
    assert line["sha256"] == hashlib.sha256(content).hexdigest()
    assert line["bytes"] == len(content)
    assert [row["_row_number"] for row in rows] == list(range(1, len(rows) + 1))
    first = line["first_row_id"]
    assert [row["_row_id"] for row in rows] == list(range(first, first + len(rows)))
    if known is None and not name.endswith("parquet"):
        try:
            known = independent(name, content, line)
        except UnreadableError:
            if "csv" in name:
                text = content_of(name, content, line["encoding"])
                assert has_loose_quotes(text, line["delimiter"]), "no CSV to a plain reader"
                return
            # DuckDB lets a comma before a closing bracket pass.
            text = content_of(name, content, line["encoding"])
            assert len([one for one in text.split("\n") if one.strip()]) == len(rows)
            return
    is_loose = bool(line["delimiter"]) and has_loose_quotes(
        content_of(name, content, line["encoding"]), line["delimiter"]
    )
    for number, (wanted, row) in enumerate(zip(known or rows, rows, strict=True), start=1):
        if known and not is_loose:
            check_row(table, wanted, row, f"{name}, row {number}")


def independent(name: str, content: bytes, line: Row) -> list[Row]:
    """Rows of a file as plain Python reads them, by what `_loads` says of it."""
    text = content_of(name, content, line["encoding"])
    return csv_rows(text, line["delimiter"]) if line["delimiter"] else json_rows(text)


def check_row(table: Table, wanted: Row, row: Row, where: str) -> None:
    """Each value is in its column, or in `_extra`."""
    left = {name: value for name, value in wanted.items() if value is not None}
    for column in table.columns:
        exact = [name for name in wanted if name == column.name]
        same = exact or [name for name in wanted if name.strip().casefold() == column.name]
        found = row[column.name]
        value = wanted[same[0]] if same else None
        if column.keeps_empty_text and value is None and found == "":
            value = ""  # of a CSV file
        assert is_same(value, found), (where, column.name)
        for name in same:
            left.pop(name, None)
    extra = json.loads(row["_extra"] or "{}", parse_int=Number, parse_float=Number)
    assert set(extra) == {name for name in left if left[name] is not None}, where


# -------------------------------------------------------------------- files that must be accepted

words = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12
) | st.sampled_from(
    [
        *("=cmd|' /C calc'!A0", "+49 30 1234", "-5", "@sum(1)", "1,234.56", "1.234,56"),
        *("03/01/2026", "2026-02-30", "0000-00-00T24:00:60+25:99", "NaN", "Infinity", "NULL"),
        *('"', '""', "'", "\\", "\\n", ",", ";", "\t", "|", "a\r\nb", "\n", "\r", "  ", "#", "//"),
        *("9007199254740993", "18446744073709551616", "1e400", "007", "١٢٣", "a\x00b", "\x1a"),
        *("\ufeff", "𝒳", "e\u0301", "null", "true", "[1, 2", "{}", "é" * 50, "x" * 5000),
    ]
)


@st.composite
def tables_of_text(draw: st.DrawFn) -> tuple[Table, list[str], list[list[str | None]]]:
    """A table of the contract, names of columns in any order, and rows of any text."""
    table = TABLES[draw(st.sampled_from(["messages", "agents", "intents", "rasa/events"]))]
    optional = [column.name for column in table.columns if column.name not in table.required]
    names = [*table.required, *draw(st.lists(st.sampled_from(optional), unique=True, max_size=4))]
    strange = draw(st.lists(words.map(lambda word: f"x{word}".strip()), max_size=2))
    for name in (re.sub(r"[\n\r\0]", " ", word).strip() for word in strange):
        if name.casefold() not in {known.casefold() for known in names}:
            names.append(name)
    names = draw(st.permutations(names))
    row = st.lists(words | st.none(), min_size=len(names), max_size=len(names))
    rows = draw(st.lists(row, max_size=6))
    return table, names, [row for row in rows if any(row) and row != names]


@fuzz(0.25)
@given(
    tables_of_text(),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "gb18030"]),
    st.booleans(),
)
def test_any_text_written_as_csv_is_accepted_unchanged(
    bench: Bench,
    made: tuple[Table, list[str], list[list[str | None]]],
    delimiter: str,
    end: str,
    encoding: str,
    zipped: bool,
) -> None:
    table, names, rows = made
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([names, *rows])
    content = stream.getvalue().encode(encoding)
    name = "a.csv"
    if zipped:
        name, content = "a.csv.gz", gzip.compress(content, 1)
    declared = f"tables: {{{table.folder}: {{delimiter: {json.dumps(delimiter)}"
    declared += ", encoding: gb18030}}" if encoding == "gb18030" else "}}"
    refusal = bench.run(table, {name: content}, declared)
    known = [{key: value or None for key, value in zip(names, row, strict=True)} for row in rows]
    finish_known(bench, table, name, content, refusal, known)


@fuzz(0.15)
@given(tables_of_text(), st.booleans(), st.booleans(), st.data())
def test_any_value_written_as_json_is_accepted_unchanged(
    bench: Bench,
    made: tuple[Table, list[str], list[list[str | None]]],
    ascii_only: bool,
    zipped: bool,
    data: st.DataObject,
) -> None:
    table, names, rows = made
    scalars = st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), words),
        st.integers(2**53, 2**70),
    )
    values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3), max_leaves=5)
    texts = st.one_of(words, words, st.none(), values)
    objects = [dict(zip(names, (data.draw(texts) for _ in names), strict=True)) for _ in rows]
    lines = "".join(json.dumps(one, ensure_ascii=ascii_only) + "\n" for one in objects)
    content = lines.encode("utf-8")
    name = "a.jsonl"
    if zipped:
        name, content = "a.ndjson.gz", gzip.compress(content, 1)
    refusal = bench.run(table, {name: content})
    finish_known(bench, table, name, content, refusal, json_rows(lines))


@fuzz(0.05)
@given(tables_of_text())
def test_any_text_written_as_parquet_is_accepted_unchanged(
    bench: Bench, made: tuple[Table, list[str], list[list[str | None]]]
) -> None:
    table, names, rows = made
    path = bench.folder / "source.parquet"
    columns = ", ".join(f"cast(null as varchar) as {load.name_sql(name)}" for name in names)
    with duckdb.connect() as con:
        con.execute(f"create table t as select {columns} limit 0")
        for row in rows:
            con.execute(f"insert into t values ({', '.join('?' for _ in names)})", row)
        con.execute(f"copy t to '{path}' (format parquet)")
    known = [dict(zip(names, row, strict=True)) for row in rows]
    content = path.read_bytes()
    refusal = bench.run(table, {"a.parquet": content})
    finish_known(bench, table, "a.parquet", content, refusal, known)


def finish_known(
    bench: Bench,
    table: Table,
    name: str,
    content: bytes,
    refusal: str | None,
    known: list[Row],
) -> None:
    """A file whose rows are known was accepted; but a landing needs rows, and ids their digits."""
    try:
        if refusal and "scientific notation" in refusal:
            ENDINGS["refused"] += 1
            return
        assert refusal is None or refusal.startswith("The landing has no rows in"), refusal
        check_accepted(bench, table, name, content, known)
        ENDINGS["accepted"] += 1
    finally:
        bench.empty(table)


# ----------------------------------------------------------------- files with damage of any kind


@functools.cache
def real_files() -> list[tuple[Table, str, bytes]]:
    """Parts of files that exist: the conformance cases', the demo's, and real exports."""
    folders = [*(ROOT / "tests" / "conformance").glob("*/landing"), ROOT / "seeds" / "demo"]
    paths = [
        (table, path)
        for folder in folders
        for table in TABLES.values()
        for path in sorted((folder / table.folder).glob("*"))
    ]
    if real := os.environ.get("PARLEY_REAL_DATA"):
        for path in sorted(Path(real).rglob("*.csv")):
            folder = REAL_TABLES.get(f"{path.parent.name}/{path.name}")
            paths += [(TABLES[folder], path)] * 10 if folder else []
    found = []
    for table, path in paths:
        content = path.read_bytes()
        if path.suffix != ".parquet" and len(content) > 8_000:
            content = content[: content.rfind(b"\n", 0, 8_000) + 1]
        found.append((table, path.name, content))
    assert len(found) > 20
    return found


def other_formats(table: Table, name: str, content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """A CSV file as it is, or its rows in another format."""
    kind = rng.choice(["same", "same", "csv.gz", "jsonl", "jsonl.gz", "parquet", "utf-16"])
    if not name.endswith(".csv") or kind == "same":
        return name, content
    if kind == "utf-16":
        return name, content.decode("utf-8").encode("utf-16")
    if kind == "csv.gz":
        return "a.csv.gz", gzip.compress(content)
    rows = csv_rows(content.decode("utf-8-sig"), ",")[:20]
    if kind == "parquet":
        return "a.parquet", parquet_of(table, rows)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8")
    return f"a.{kind}", gzip.compress(lines) if kind.endswith("gz") else lines


@functools.cache
def _scratch() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def parquet_of(table: Table, rows: list[Row]) -> bytes:
    """The rows as a Parquet file."""
    source = Path(os.environ.get("TMPDIR", "/tmp")) / f"parley-fuzz-{os.getpid()}.json"
    target = source.with_suffix(".parquet")
    source.write_text("".join(json.dumps(row) + "\n" for row in rows) or "{}\n", encoding="utf-8")
    try:
        _scratch().execute(
            f"copy (from read_json('{source}', format = 'newline_delimited')) to '{target}'"
        )
        return target.read_bytes()
    finally:
        source.unlink()
        target.unlink(missing_ok=True)


INSERTS = (
    *(b'"', b"'", b",", b";", b"\t", b"\n", b"\r", b"\r\n", b"\n\n", b"\0", b"\\", b'""', b'"\n"'),
    *(b"\xff", b"\xc3", b"\xe4", b"\xf0\x9f", "é".encode(), "größe".encode("latin-1"), b"\x1a"),
    *("中文".encode("gb18030"), codecs.BOM_UTF8, codecs.BOM_UTF16_LE, b"{", b"}", b"[", b"null"),
    *(b"=1+1", b"1.23E+11", b"1,234.56", b"x" * 3000, b'{"a":1}', b"\x1f\x8b\x08", b"PAR1"),
)


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Content with one to three damages."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        at = rng.randrange(len(content) + 1)
        lines = content.splitlines(keepends=True) or [b""]
        pick = rng.randrange(len(lines))
        match rng.randrange(10):
            case 0:
                content = content[:at]
            case 1:
                content = content[:at] + rng.choice(INSERTS) + content[at:]
            case 2:
                content = content[:at] + content[at + rng.randrange(1, 30) :]
            case 3:
                content = content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
            case 4:
                content = b"".join([*lines[:pick], lines[0], *lines[pick:]])
            case 5:
                content = b"".join([*lines[:pick], lines[pick].rstrip(b"\r\n"), *lines[pick + 1 :]])
            case 6:
                content = content.replace(b"\n", rng.choice([b"\r\n", b"\r", b"\n\n"]), 3)
            case 7:
                content = content.replace(
                    b",", rng.choice([b";", b"\t", b", "]), rng.choice([2, -1])
                )
            case 8:
                content = content[:at] + rng.randbytes(rng.randrange(1, 40)) + content[at:]
            case 9:
                content = content + content[at:]
    return content


@fuzz(0.55)
@given(st.integers(0, 2**40), st.integers(0, 2))
def test_a_damaged_file_is_accepted_as_it_is_or_refused_and_gone(
    bench: Bench, seed: int, others: int
) -> None:
    rng = random.Random(seed)
    table, name, whole = rng.choice(real_files())
    name, whole = other_formats(table, name, whole, rng)
    content = damaged(whole, rng)
    suffix = name[name.index(".") :]
    files = {f"b{suffix}": content}
    if others and content != whole:
        files |= {f"a{suffix}": whole, f"c{suffix}": whole + b""}
    try:
        refusal = bench.run(table, dict(sorted(files.items())))
        held = {line["file"] for line in bench.loads()}
        if refusal and not refusal.startswith("The landing has no rows in"):
            ENDINGS["refused"] += 1
            check_sentence(refusal, [content])
            refused = refusal.split(":")[0].split(",")[0].split(" ")[0]
            before = {f"{table.folder}/a{suffix}"} if len(files) == 3 else set()
            assert refused not in held
            assert held <= before
            count = bench.con.execute(f"select count(*) from raw.{table.raw_name}").fetchone()
            total = bench.con.execute("select coalesce(sum(row_count), 0) from raw._loads")
            assert count == total.fetchone()
        else:
            ENDINGS["accepted"] += 1
            check_accepted(bench, table, f"b{suffix}", content, None)
        for kept in held - {f"{table.folder}/b{suffix}"}:
            check_accepted(bench, table, kept.rsplit("/", 1)[1], whole, None)
    finally:
        bench.empty(table)


def test_each_row_of_damaged_files_is_accepted_superseded_or_rejected(bench: Bench) -> None:
    """What the loader accepts of damaged files goes through the models, all of it at once."""
    landing = scratch_directory("damaged")
    expected: dict[str, dict[str, int]] = {}  # rows by content, by table
    for seed in range(round(CASES * RECONCILED)):
        rng = random.Random(f"reconciled {seed}" if CASES == DEFAULT else None)
        table, name, whole = rng.choice(real_files())
        name, whole = other_formats(table, name, whole, rng)
        content = damaged(whole, rng)
        name = f"{seed:04}{name[name.index('.') :]}"
        refusal = bench.run(table, {name: content})
        if refusal is None or refusal.startswith("The landing has no rows in"):
            (line,) = bench.loads()
            expected.setdefault(table.raw_name, {})[line["sha256"]] = line["row_count"]
            (landing / table.folder).mkdir(parents=True, exist_ok=True)
            (landing / table.folder / name).write_bytes(content)
            ENDINGS["reconciled"] += 1
        else:
            ENDINGS["refused"] += 1
        bench.empty(table)
    warehouse = build_anew(landing, datetime(2026, 7, 5))
    reconciled = {row["table_name"]: row for row in warehouse.rows("reconciliation")}
    rejected = {}
    for row in warehouse.rows("rejected_rows"):
        assert row["reason"], row["table_name"]
        rejected[row["table_name"], row["file"], row["row_number"]] = row["reason"]
    for table_name, contents in expected.items():
        row = reconciled[table_name]
        assert row["raw_rows"] == sum(contents.values()), table_name
        assert row["raw_rows"] == row["accepted"] + row["superseded"] + row["rejected"], table_name
        places = {
            (table_name, each["file"], each["number"])
            for each in warehouse.query(
                f"select _file as file, _row_number as number from raw.{table_name}"
            )
        }
        assert row["rejected"] == len({key for key in rejected if key[0] == table_name} & places)
    assert sum(row["accepted"] for row in reconciled.values()) > CASES / 4
    assert len(rejected) > CASES / 10
    assert len({re.sub(r"\w+_\w+", "", reason) for reason in rejected.values()}) > 4


def test_the_cases_are_enough_and_end_in_every_way(capsys: pytest.CaptureFixture[str]) -> None:
    total = sum(ENDINGS.values())
    if not total:
        pytest.skip("counts the cases of the tests above")
    with capsys.disabled():
        print(f"\n{total:,} landings: " + ", ".join(f"{n:,} {e}" for e, n in ENDINGS.items()))
    assert total >= CASES * 0.95
    assert min(ENDINGS["accepted"], ENDINGS["refused"]) > total / 10
