"""One landed file as a relation DuckDB can insert from, or the sentence why it cannot be.

DuckDB reads set by set; Python looks at single rows only to say where a refused file is wrong.
"""

from __future__ import annotations

import codecs
import csv
import errno
import glob
import gzip
import io
import itertools
import json
import os
import re
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from contract import Table
from landing import DELIMITERS, Declared, LandedFile, LandingError
from load_report import count_text

# Longest row in bytes, and the reader's buffer: large rows (a bot's slots as JSON) must fit, the
# buffer bounds memory.
LONGEST_ROW = 16_000_000
BUFFER = 32_000_000
CHUNK = 1 << 20
BLOCK = 1 << 16

# Most columns of one file; a spreadsheet holds as many.
MOST_COLUMNS = 16_384

# No room on the device, beyond the process's limit of a file's size, beyond a quota.
DISK_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)

# What DuckDB raises while it reads; the latter in place of an error whose text is not UTF-8.
READER_ERRORS = (duckdb.Error, UnicodeDecodeError)

EXPLAINED = (duckdb.InvalidInputException, duckdb.ConversionException, UnicodeDecodeError)

BOMS = (  # the longer one first: the UTF-32 mark begins with the UTF-16 one
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# ----------------------------------------------------------------------------- text and bytes


def quoted(text: str) -> str:
    """SQL literal of a text."""
    literal = "'" + text.replace("'", "''") + "'"
    # The text of a statement ends at a null character.
    return "(" + literal.replace("\0", "' || chr(0) || '") + ")" if "\0" in text else literal


def name_sql(identifier: str) -> str:
    """SQL identifier, quoted."""
    return '"' + identifier.replace('"', '""') + '"'


@contextmanager
def opened(file: LandedFile) -> Iterator[io.BufferedIOBase]:
    """Open the bytes of a file, gunzipped; damage is refused by name."""
    try:
        if file.is_gzip:
            if not file.path.stat().st_size:  # gzip itself takes that for an empty content
                raise EOFError
            with gzip.open(file.path) as unpacked:
                yield unpacked
        else:
            with file.path.open("rb") as plain:
                yield plain
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise LandingError(
            f"{file.name} is cut short or not gzip at all; export it again."
        ) from None


def text_encoding(file: LandedFile, declared: Declared) -> tuple[str, bool]:
    """Encoding of a text file and whether it begins with a byte order mark, which wins."""
    with opened(file) as stream:
        start = stream.read(4)
    for mark, encoding in BOMS:
        if start.startswith(mark):
            return encoding, True
    return declared.encoding or "utf-8", False


@contextmanager
def plain_utf8(file: LandedFile, encoding: str | None, has_bom: bool) -> Iterator[Path]:
    """Path of the file's content as plain UTF-8: the file itself or a temporary copy.

    An encoding of None is a format that is no text.

    Raises:
        LandingError: the bytes are not of the encoding (by row), or the gzip is damaged.
    """
    is_plain = encoding == "utf-8" and not file.is_gzip
    if encoding is None:
        yield file.path
        return
    lengths = _RowLengths()
    if is_plain and not (has_bom and file.format == "jsonl"):
        with opened(file) as stream:
            while chunk := stream.read(CHUNK):
                lengths.feed(chunk)
                if lengths.is_too_long:
                    raise _too_long(file.name, _rows_before(file, lengths.start))
        yield file.path
        return
    with tempfile.TemporaryDirectory(prefix="parley-load-") as folder:
        path = Path(folder) / "plain"
        with opened(file) as stream, path.open("wb") as copy:
            if encoding == "utf-8":
                stream.read(len(codecs.BOM_UTF8) if has_bom else 0)
                chunks = iter(lambda: stream.read(CHUNK), b"")
            else:
                rows = _RowCounter(file.format)
                decoder = codecs.getincrementaldecoder(encoding)(errors="strict")
                decoded = _decoded(stream, decoder, rows, file, encoding)
                chunks = (text.encode("utf-8") for text in decoded)
            for chunk in chunks:
                copy.write(chunk)
                lengths.feed(chunk)
                if lengths.is_too_long:
                    copy.flush()
                    plain = replace(file, path=path, is_gzip=False)
                    raise _too_long(file.name, _rows_before(plain, lengths.start))
        yield path


class _RowLengths:
    """Watches a stream of bytes for a line longer than a row may be.

    DuckDB says nothing about an unquoted last line that is longer than its buffer: it leaves it
    out. And what looks for the faulty row of a refused file reads line by line.
    """

    def __init__(self) -> None:
        self.start = 0  # of the line that goes on, in bytes
        self.is_too_long = False
        self._end = 0

    def feed(self, chunk: bytes) -> None:
        """Take what comes next; `start` stays at the line that is too long."""
        for begin in range(0, len(chunk), CHUNK):
            piece = chunk[begin : begin + CHUNK]
            ends = [at for at in (piece.find(b"\n"), piece.find(b"\r")) if at >= 0]
            self.is_too_long = self._end + min(ends, default=len(piece)) - self.start > LONGEST_ROW
            if self.is_too_long:
                return
            if ends:
                self.start = self._end + max(piece.rfind(b"\n"), piece.rfind(b"\r")) + 1
            self._end += len(piece)


def _rows_before(file: LandedFile, position: int) -> int:
    """Number of the row that begins at a byte of a file of UTF-8 text."""
    rows = _RowCounter(file.format)
    with opened(file) as stream:
        while position > 0 and (chunk := stream.read(min(CHUNK, position))):
            rows.feed(chunk.decode("latin-1"))
            position -= len(chunk)
    return rows.row


class _RowCounter:
    """Counts the rows that end in a stream of text; a line end inside quotes ends none."""

    def __init__(self, file_format: str) -> None:
        self.lines = 0
        self._is_csv = file_format == "csv"
        self._in_quotes = False

    def feed(self, text: str) -> None:
        if not self._is_csv:
            self.lines += text.count("\n")
            return
        for index, part in enumerate(text.split('"')):
            if index:
                self._in_quotes = not self._in_quotes
            if not self._in_quotes:
                self.lines += part.count("\n")

    @property
    def row(self) -> int:
        """Row of the text that comes next, from 1; 0 is the header."""
        return self.lines if self._is_csv else self.lines + 1


def row_text(number: int) -> str:
    """A row by its 1-based number in words; 0 is the header."""
    return f"row {number}" if number > 0 else "the header row"


def _decoded(
    stream: io.BufferedIOBase,
    decoder: codecs.IncrementalDecoder,
    rows: _RowCounter,
    file: LandedFile,
    encoding: str,
) -> Iterator[str]:
    while True:
        chunk = stream.read(CHUNK)
        waiting = decoder.getstate()[0]
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            good = (waiting + chunk)[: error.start]
            with suppress(UnicodeDecodeError):
                rows.feed(good.decode(encoding))
            raise LandingError(
                f"{file.name}, {row_text(rows.row)}: the bytes are not {encoding} as declared; "
                "declare the encoding the file really has in landing.yml."
            ) from None
        rows.feed(text)
        yield text
        if not chunk:
            return


def not_utf8(name: str, row: int) -> LandingError:
    """Refusal of a file whose bytes are not UTF-8 though nothing else was declared."""
    return LandingError(
        f"{name}, {row_text(row)}: the bytes are not UTF-8; declare the file's encoding in "
        "landing.yml, such as encoding: gb18030 or encoding: cp1252."
    )


# ---------------------------------------------------------------------------- reading formats


@dataclass(frozen=True)
class Reading:
    """A file as a relation: SQL that yields `rn` (1-based row) and the expressions over it.

    `values` holds an SQL expression of type text per contract column found, `extra` one of a
    JSON object for unknown columns. `header` has the name of each column as a CSV file writes it.
    Where several files are read as one, `number` is SQL of a row's number in its own file and
    `file` of that file's path; `rn` counts over all of them. `warnings` are sentences. `check`
    looks at rows for what the database lets pass and raises a LandingError; it reads the files
    alone, so it can be run beside the insert. `is_numbered` says that `rn` stands in the file's
    own pages, so that it is right whatever the order rows are read in.
    """

    relation: str
    values: Mapping[str, str]
    extra: str
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    delimiter: str | None = None
    header: Mapping[str, str] | None = None
    number: str = "rn"
    file: str | None = None
    warnings: tuple[str, ...] = ()
    check: Callable[[], None] | None = None
    is_numbered: bool = False


def _match(found: Sequence[str], table: Table, file: str) -> dict[str, int]:
    """Position in `found` of each contract column: by exact name, else without case and spaces.

    Raises:
        LandingError: a required column is missing, a column is there twice, or there are too many.
    """
    if len(found) > MOST_COLUMNS:
        raise LandingError(
            f"{file} has {len(found):,} columns, and {MOST_COLUMNS:,} at most are read; leave out "
            "those that are not in the contract."
        )
    positions: dict[str, int] = {}
    folded = [name.strip().casefold() for name in found]
    for column in table.columns:
        exact = [index for index, name in enumerate(found) if name == column.name]
        same = exact or [index for index, name in enumerate(folded) if name == column.name]
        if len(same) > 1:
            raise LandingError(
                f"{file}: the column {column.name} is there {len(same)} times; keep one."
            )
        if same:
            positions[column.name] = same[0]
    for name in table.required:
        if name not in positions:
            raise LandingError(
                f"{file}: the required column {name} is missing; add it or correct its name in "
                "the header."
            )
    return positions


def _extra_object(pairs: Iterable[tuple[str, str]]) -> str:
    """SQL of a JSON object as text, without nulls; NULL when nothing is left.

    `pairs` are a column's name and SQL that yields its value as JSON text or NULL.
    """
    members = [
        f"{quoted(json.dumps(name, ensure_ascii=False) + ':')} || {sql}" for name, sql in pairs
    ]
    if not members:
        return "cast(null as varchar)"
    return f"'{{' || nullif(concat_ws(',', {', '.join(members)}), '') || '}}'"


def _emptied(sql: str, table: Table, column: str) -> str:
    """SQL of a text with the empty string read as null, where the contract says so."""
    keeps = any(known.name == column and known.keeps_empty_text for known in table.columns)
    return sql if keeps else f"nullif({sql}, '')"


def _missing(table: Table, found: Iterable[str]) -> tuple[str, ...]:
    known = set(found)
    return tuple(column.name for column in table.columns if column.name not in known)


def _header(path: Path, file: str, table: Table, declared: str | None) -> tuple[str, list[str]]:
    """Delimiter and column names of a CSV file: of all delimiters the one that names most columns.

    Raises:
        LandingError: there is no header row, or it is not UTF-8.
    """
    known = {column.name for column in table.columns}
    best: tuple[int, int, str, list[str]] | None = None
    for delimiter in [declared] if declared else DELIMITERS.values():
        try:
            with path.open(encoding="utf-8-sig", newline="") as stream:
                names = next(csv.reader(stream, delimiter=delimiter, strict=True), None)
        except UnicodeDecodeError:
            if _surrogates_in_header(path, delimiter):
                raise not_utf8(file, 0) from None
            with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
                names = next(csv.reader(stream, delimiter=delimiter), None)
        except csv.Error:
            continue
        if names is None:
            raise LandingError(
                f"{file} is empty; a CSV file begins with a header row, even without data."
            )
        if not names:
            raise LandingError(f"{file} begins with an empty line; begin with the header row.")
        score = sum(name.strip().casefold() in known for name in names)
        if best is None or (score, len(names)) > best[:2]:
            best = (score, len(names), delimiter, names)
    if best and any("\n" in name or "\r" in name for name in best[3]):
        # DuckDB would look for line ends of that kind below, and may find no row.
        raise LandingError(
            f"{file}: the name of a column holds a line end; write the header row in one line."
        )
    if best is None:
        raise LandingError(f"{file}: the header row is not readable as CSV; check its quotes.")
    return best[2], best[3]


def _surrogates_in_header(path: Path, delimiter: str) -> bool:
    """Whether the undecodable bytes of a file are in its header row."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
        try:
            names = next(csv.reader(stream, delimiter=delimiter), [])
        except csv.Error:
            return True
    return any(_is_escaped(name) for name in names)


def _is_escaped(text: str) -> bool:
    """Whether a text decoded with surrogateescape holds bytes that were not UTF-8."""
    return any("\udc80" <= character <= "\udcff" for character in text)


def _read_csv(
    paths: Sequence[Path], file: str, table: Table, declared: str | None = None
) -> Reading:
    """Read one CSV file, or several whose header rows are the same to the byte."""
    delimiter, names = _header(paths[0], file, table, declared)

    def check_width() -> None:
        for path in paths:
            if too_wide := _first_row_too_wide(path, delimiter, len(names)):
                raise _wrong_width(file, *too_wide, len(names))

    positions = _match(names, table, file)
    unknown = {
        index: name.strip() or f"unnamed_{index + 1}"
        for index, name in enumerate(names)
        if index not in positions.values()
    }
    if len(set(unknown.values())) < len(unknown):
        raise LandingError(f"{file}: two columns of the header have the same name; rename one.")
    keeps = [
        quoted(f"c{positions[column.name]}")
        for column in table.columns
        if column.keeps_empty_text and column.name in positions
    ]
    columns = ", ".join(f"'c{index}': 'VARCHAR'" for index in range(len(names)))
    relation = (
        f"(select *, row_number() over () as rn from read_csv({_paths_sql(paths)}, "
        f"columns = {{{columns}}}, header = true, auto_detect = false, delim = "
        f"{quoted(delimiter)}, quote = '\"', escape = '\"', strict_mode = true, "
        f"null_padding = false, compression = 'none', hive_partitioning = false, "
        f"force_not_null = [{', '.join(keeps)}], max_line_size = {LONGEST_ROW}, "
        f"buffer_size = {BUFFER}, filename = 'path'))"
    )
    return Reading(
        relation,
        {name: f"c{index}" for name, index in positions.items()},
        _extra_object((name, f"to_json(c{index})") for index, name in unknown.items()),
        _missing(table, positions),
        tuple(unknown.values()),
        delimiter=delimiter,
        header={name: names[index] for name, index in positions.items()},
        check=check_width,
    )


def _first_row_too_wide(path: Path, delimiter: str, width: int) -> tuple[int, int] | None:
    """Number and values of the first row with more values than columns; None for none.

    DuckDB leaves out empty values beyond the last column. The row is wrong all the same: a comma
    that should have been quoted may have shifted its values. Only rows with many delimiters are
    taken apart, so this costs a fraction of the load.
    """
    row = -1
    held: list[str] = []  # lines of a row whose quotes are open
    size, is_open = 0, False
    quoted_value = re.compile(rf'{re.escape(delimiter)}"[^"\r\n]*(?:""[^"\r\n]*)*"')
    with path.open(encoding="latin-1", newline="") as stream:
        blocks = iter(lambda: stream.readlines(BLOCK), [])
        for lines in itertools.chain(blocks, ([""],)):
            block = quoted_value.sub(delimiter, "".join(lines)) if not held else ""
            if not held and _is_narrow(block, lines, delimiter, width):
                row += len(lines)
                continue
            for line in lines:
                if not held and '"' not in line:
                    row += bool(line.strip("\r\n"))
                    if line.count(delimiter) >= width:
                        return row, line.count(delimiter) + 1
                    continue
                held.append(line)
                size += len(line)
                is_open ^= line.count('"') % 2 == 1
                if is_open and line and size <= LONGEST_ROW:
                    continue
                text, held, size, is_open = "".join(held), [], 0, False
                if text.count(delimiter) < width:
                    row += 1
                    continue
                for fields in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
                    row += bool(fields)
                    if len(fields) > width:
                        return row, len(fields)
    return None


def _is_narrow(block: str, lines: Sequence[str], delimiter: str, width: int) -> bool:
    """Whether lines, taken together, show that none has too many values, or else one too few.

    The latter DuckDB refuses itself. `block` is the lines without their quoted values.
    """
    return (
        '"' not in block
        and min(map(len, lines)) > len("\r\n")
        and block.count(delimiter) <= len(lines) * (width - 1)
    )


def _paths_sql(paths: Iterable[Path]) -> str:
    """SQL list of files to read, each by its very name."""
    return f"[{', '.join(quoted(glob.escape(str(path))) for path in paths)}]"


def _read_jsonl(con: duckdb.DuckDBPyConnection, path: Path, file: str, table: Table) -> Reading:
    lines = (
        f"read_ndjson_objects({quoted(glob.escape(str(path)))}, compression = "
        f"'uncompressed', hive_partitioning = false, maximum_object_size = {LONGEST_ROW})"
    )
    row = con.execute(
        "select coalesce(bool_and(json_type(json) = 'OBJECT'), true), "
        "coalesce(bool_and(len(json_keys(json)) = list_unique(json_keys(json))), true), "
        "list_sort(list_distinct(flatten(list(distinct json_keys(json))))), count(*) "
        f"from {lines}"
    ).fetchone()
    assert row is not None
    all_objects, all_unique, keys, count = row
    if not all_objects or not all_unique:
        raise _explain_jsonl(path, file)
    found: list[str] = keys or []
    positions = _match(found, table, file) if count else {}
    unknown = [key for index, key in enumerate(found) if index not in positions.values()]
    pointers = {name: _pointer(found[index]) for name, index in positions.items()}
    known = ", ".join(quoted(found[index]) for index in positions.values())
    extra = "cast(null as varchar)"
    if unknown:
        extra = (  # array_to_string leaves nulls out
            "'{' || nullif(array_to_string(list_transform(list_filter(map_entries(cast(json as "
            f"map(varchar, json))), lambda member: member.key not in ({known})), "
            "lambda member: to_json(member.key) || ':' || member.value), ','), '') || '}'"
        )
    relation = (
        f"(select json, row_number() over () as rn, "
        f"json_extract_string(json, [{', '.join(map(quoted, pointers.values()))}]) as v "
        f"from {lines})"
    )
    return Reading(
        relation,
        {
            name: _emptied(f"v[{index}]", table, name)
            for index, name in enumerate(pointers, start=1)
        },
        extra,
        _missing(table, positions),
        tuple(unknown),
    )


def _pointer(key: str) -> str:
    """JSON pointer to a member of the top object."""
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _read_parquet(con: duckdb.DuckDBPyConnection, path: Path, file: str, table: Table) -> Reading:
    source = f"read_parquet({quoted(glob.escape(str(path)))}, hive_partitioning = false"
    types = [row[1] for row in con.execute(f"describe select * from {source})").fetchall()]
    found = _parquet_columns(con, path)
    if "file_row_number" in map(str.casefold, found):
        raise LandingError(f"{file}: a column is named file_row_number; give it another name.")
    positions = _match(found, table, file)
    unknown = {index: name for index, name in enumerate(found) if index not in positions.values()}
    if len(set(unknown.values())) < len(unknown):
        raise LandingError(f"{file}: two columns have the same name; rename one.")
    # DuckDB renames columns that differ in case only, so they are taken by position.
    aliases = ", ".join([f"c{index}" for index in range(len(found))])
    texts = [_as_text(f"c{index}", str(kind)) for index, kind in enumerate(types)]
    fractions = [
        column.name
        for column in table.columns
        if column.is_id
        and types[positions.get(column.name, 0)] in ("DOUBLE", "FLOAT")
        and column.name in positions
    ]
    return Reading(
        f"(select *, file_row_number + 1 as rn from {source}, file_row_number = true) "
        f"as rows({aliases}))",
        {name: _emptied(texts[index], table, name) for name, index in positions.items()},
        _extra_object((name, f"to_json({texts[index]})") for index, name in unknown.items()),
        _missing(table, positions),
        tuple(unknown.values()),
        warnings=tuple(
            f"{file}: {name} holds numbers with a fraction (such as 7.0), which match no id "
            "written 7; export ids as text or whole numbers."
            for name in fractions
        ),
        is_numbered=True,
    )


def _parquet_columns(con: duckdb.DuckDBPyConnection, path: Path) -> list[str]:
    """Names of a file's columns as it writes them, those inside nested ones left out."""
    schema = con.execute(
        f"select name, num_children from parquet_schema({quoted(glob.escape(str(path)))})"
    ).fetchall()
    names, inside = [], 0
    for name, children in schema[1:]:
        if not inside:
            names.append(str(name))
        inside += (children or 0) - (1 if inside else 0)
    return names


def read_file(
    con: duckdb.DuckDBPyConnection,
    path: Path,
    file: LandedFile,
    table: Table,
    delimiter: str | None = None,
) -> Reading:
    """Look at a file's columns and return how to insert its rows.

    Args:
        con: where Parquet and JSON are looked at.
        path: the content, as plain UTF-8 unless it is Parquet.
        file: the file as it was landed, for its format and for error texts.
        table: what it is to become.
        delimiter: of a CSV file, when it was declared.

    Raises:
        LandingError: a required column is missing, a column is there twice, or there is no header.
        duckdb.Error: the content is not of the format; `explain` says where.
    """
    if file.format == "csv":
        return _read_csv([path], file.name, table, delimiter)
    if file.format == "jsonl":
        return _read_jsonl(con, path, file.name, table)
    return _read_parquet(con, path, file.name, table)


def first_line(file: LandedFile, declared: Declared) -> bytes | None:
    """What files must have in common to be read together: their first line, line end included.

    None for a file that is to be read alone: no plain UTF-8 CSV, or a header row of several lines.

    Raises:
        OSError: the file cannot be read.
    """
    if file.format != "csv" or file.is_gzip or declared != Declared(declared.time_zone):
        return None
    with file.path.open("rb") as stream:
        line = stream.readline(CHUNK)
    marks = tuple(mark for mark, encoding in BOMS if encoding != "utf-8")
    if line.startswith(marks) or line.count(b'"') % 2 or not line.endswith(b"\n"):
        return None
    return None if b"\r" in line[:-2] else line


def read_together(files: Sequence[LandedFile], table: Table) -> Reading:
    """Read several files with the same `first_line` as one relation.

    Raises:
        LandingError: their header row is refused.
    """
    reading = _read_csv([file.path for file in files], files[0].name, table)
    return replace(
        reading,
        number="rn - min(rn) over (partition by path) + 1",
        file="path",
    )


def _as_text(column: str, type_name: str) -> str:
    """SQL of a typed column as exact text: ISO 8601 instants, JSON for nested values."""
    name = name_sql(column)
    if type_name == "TIMESTAMP WITH TIME ZONE":
        return f"replace(cast({name} at time zone 'UTC' as varchar), ' ', 'T') || 'Z'"
    if type_name.startswith("TIMESTAMP"):
        return f"replace(cast({name} as varchar), ' ', 'T')"
    if type_name.endswith("]") or type_name.startswith(("STRUCT", "MAP", "UNION")):
        return f"cast(to_json({name}) as varchar)"
    if type_name == "BLOB":
        return f"decode({name})"
    return f"cast({name} as varchar)"


# ------------------------------------------------------------------------- explaining refusals


def _explain_csv(
    error: Exception, path: Path, file: str, delimiter: str, width: int
) -> LandingError:
    """Find the row the strict reader stumbled over; the slow way, once per refusal."""
    limit = csv.field_size_limit(LONGEST_ROW)
    row = -1
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            for fields in csv.reader(stream, delimiter=delimiter, strict=True):
                if not fields and width > 1:
                    continue
                row += 1
                if any(map(_is_escaped, fields)):
                    return not_utf8(file, row)
                if len(fields) != width and fields:
                    return _wrong_width(file, row, len(fields), width)
                if sum(map(len, fields)) > LONGEST_ROW // 4:
                    return _too_long(file, row)
    except csv.Error as defect:
        if "field larger" in str(defect):
            return _too_long(file, row + 1)
        return LandingError(
            f"{file}, {row_text(row + 1)}: a quoted value is not closed or goes on after its "
            "quote; double the quotes inside values."
        )
    finally:
        csv.field_size_limit(limit)
    line = re.search(r"CSV Error on Line: (\d+)", str(error))
    where = f"{file}, {row_text(int(line[1]) - 1)}" if line else file
    return LandingError(
        f"{where}: line ends are mixed (LF, CRLF, CR) or quotes are not as CSV has them; save the "
        "file with one kind of line end."
    )


def _wrong_width(file: str, row: int, found: int, width: int) -> LandingError:
    return LandingError(
        f"{file}, {row_text(row)}: {count_text(found, 'value')} where the header names "
        f"{count_text(width, 'column')}; export it again with every value in its column."
    )


def _too_long(file: str, row: int) -> LandingError:
    return LandingError(
        f"{file}, {row_text(row)}: the row is longer than {LONGEST_ROW // 1_000_000} MB; leave the "
        "value out or split it."
    )


def _explain_jsonl(path: Path, file: str) -> LandingError:
    """Find the line that is not one JSON object; the slow way, once per refusal."""
    row = 0
    with path.open("rb") as stream:
        for line in stream:
            if not line.strip():
                continue
            row += 1
            if len(line) > LONGEST_ROW:
                return _too_long(file, row)
            try:
                pairs = json.loads(line.decode("utf-8"), object_pairs_hook=_Pairs, parse_int=str)
                json.dumps(pairs, ensure_ascii=False).encode("utf-8")  # no half emoji
            except UnicodeDecodeError:
                return not_utf8(file, row)
            except (ValueError, RecursionError):
                pairs = None
            if not isinstance(pairs, _Pairs):
                return LandingError(
                    f"{file}, row {row}: the line is not one complete JSON object; write one "
                    "object per line."
                )
            if len({name for name, _ in pairs}) < len(pairs):
                return LandingError(
                    f"{file}, row {row}: a key is there twice in one object; keep one."
                )
    return LandingError(f"{file} is not readable as JSON lines; write one object per line.")


class _Pairs(list[tuple[str, Any]]):
    """Members of a JSON object as written, repeated keys included."""


def _explain_parquet(error: Exception, file: str) -> LandingError:
    if "UTF8" in str(error) or "decode" in str(error):
        return LandingError(f"{file} holds text that is not UTF-8; write its columns as strings.")
    return LandingError(f"{file} is not a complete Parquet file; export it again.")


def disk_full(name: str) -> str:
    """Sentence for a file that found no room."""
    return f"{name}: the disk is full; make room and load again."


def explain(
    error: Exception, path: Path, file: LandedFile, table: Table, declared: Declared
) -> LandingError:
    """Sentence for what the database said about a file; never quotes its text (it has values)."""
    if isinstance(error, duckdb.OutOfMemoryException):
        return LandingError(f"{file.name}: memory ran out; raise PARLEY_MEMORY_LIMIT.")
    if any(os.strerror(number) in str(error) for number in DISK_FULL):
        return LandingError(disk_full(file.name))
    if isinstance(error, EXPLAINED):
        if file.format == "csv":
            delimiter, names = _header(path, file.name, table, declared.delimiter)
            return _explain_csv(error, path, file.name, delimiter, len(names))
        if file.format == "jsonl":
            return _explain_jsonl(path, file.name)
    if file.format == "parquet":
        return _explain_parquet(error, file.name)
    return LandingError(
        f"{file.name} was not loaded: the database refused it ({type(error).__name__})."
    )
