"""Make a Parquet file of row groups of other files, byte by byte, without reading a value.

A Parquet file is row groups and a footer that says where their columns begin. Groups that have not
changed need not be written again: their bytes are copied and their positions in the footer moved.
The footer is a Thrift structure in the compact protocol; it is read and written here field by
field, whatever the fields mean, and only positions are changed.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

MAGIC = b"PAR1"

# Types of the compact protocol.
TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
INTEGERS = frozenset({I16, I32, I64})

# Fields of the footer, by parquet.thrift.
NUM_ROWS, ROW_GROUPS, KEY_VALUES = 3, 4, 5  # FileMetaData
COLUMNS, GROUP_ROWS, GROUP_OFFSET, ORDINAL = 1, 3, 5, 7  # RowGroup
CHUNK_OFFSET, META, INDEX_FIELDS = 2, 3, (4, 5, 6, 7)  # ColumnChunk
COMPRESSED, DATA_PAGE, INDEX_PAGE, DICTIONARY, BLOOM, BLOOM_LENGTH = 7, 9, 10, 11, 14, 15
SCHEMA = 2

# A structure: type and value by field number. A list: type of its elements and their values.
Struct = dict[int, tuple[int, Any]]


class ParquetError(Exception):
    """A file is not of the form these functions know."""


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def number(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def signed(self) -> int:
        value = self.number()
        return (value >> 1) ^ -(value & 1)

    def value(self, kind: int) -> Any:
        if kind in (TRUE, FALSE):
            return self.byte()  # an element of a list; of a field the type is the value
        if kind == BYTE:
            return self.byte()
        if kind in INTEGERS:
            return self.signed()
        if kind in (DOUBLE, BINARY):
            size = 8 if kind == DOUBLE else self.number()
            self.at += size
            return self.data[self.at - size : self.at]
        if kind == LIST:
            head = self.byte()
            size = head >> 4 if head >> 4 < 15 else self.number()
            return head & 15, [self.value(head & 15) for _ in range(size)]
        if kind == STRUCT:
            return self.struct()
        raise ParquetError(f"Thrift type {kind} is not known.")

    def struct(self) -> Struct:
        fields: Struct = {}
        number = 0
        while head := self.byte():
            number = number + (head >> 4) if head >> 4 else self.signed()
            kind = head & 15
            fields[number] = kind, None if kind in (TRUE, FALSE) else self.value(kind)
        return fields


def _number(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def _signed(value: int) -> bytes:
    return _number(value << 1 if value >= 0 else (-value << 1) - 1)


def _value(kind: int, value: Any) -> bytes:
    if kind in (TRUE, FALSE, BYTE):
        return bytes([value])
    if kind in INTEGERS:
        return _signed(value)
    if kind == DOUBLE:
        return bytes(value)
    if kind == BINARY:
        return _number(len(value)) + bytes(value)
    if kind == LIST:
        element, values = value
        size = len(values)
        head = bytes([size << 4 | element]) if size < 15 else bytes([0xF0 | element])
        return b"".join(
            [head, _number(size) if size >= 15 else b"", *(_value(element, one) for one in values)]
        )
    return _struct(value)


def _struct(fields: Struct) -> bytes:
    written = bytearray()
    former = 0
    for number, (kind, value) in sorted(fields.items()):
        step = number - former
        written += bytes([step << 4 | kind]) if 0 < step < 16 else bytes([kind]) + _signed(number)
        if kind not in (TRUE, FALSE):
            written += _value(kind, value)
        former = number
    return bytes(written) + b"\0"


def _footer(stream: BinaryIO) -> Struct:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(size - 8, 0))
    tail = stream.read(8)
    if size < 12 or tail[4:] != MAGIC:
        raise ParquetError("This is no Parquet file.")
    length = struct.unpack("<I", tail[:4])[0]
    stream.seek(size - 8 - length)
    return _Reader(stream.read(length)).struct()


def group_rows(path: Path) -> list[int]:
    """Rows of each row group of a file, in order."""
    with path.open("rb") as stream:
        return [group[GROUP_ROWS][1] for group in _footer(stream)[ROW_GROUPS][1][1]]


@dataclass(frozen=True)
class Part:
    """Row groups of a file, by number."""

    path: Path
    groups: Collection[int]


def write_groups(target: Path, parts: Collection[Part]) -> None:
    """Write a file of row groups of others, one after the other.

    Raises:
        ParquetError: the columns of the files differ, or a file is of an unknown form.
    """
    footer: Struct | None = None
    groups: list[Struct] = []
    with target.open("xb") as out:
        out.write(MAGIC)
        for part in parts:
            with part.path.open("rb") as stream:
                found = _footer(stream)
                if footer is None:
                    footer = found
                elif footer[SCHEMA] != found[SCHEMA]:
                    raise ParquetError("The columns of the files differ.")
                for number in sorted(part.groups):
                    group = found[ROW_GROUPS][1][1][number]
                    _move(group, stream, out, len(groups))
                    groups.append(group)
        if footer is None:
            raise ParquetError("A file needs a part.")
        footer[ROW_GROUPS] = LIST, (STRUCT, groups)
        footer[NUM_ROWS] = I64, sum(group[GROUP_ROWS][1] for group in groups)
        written = _struct(footer)
        out.write(written + struct.pack("<I", len(written)) + MAGIC)


def _move(group: Struct, stream: BinaryIO, out: BinaryIO, ordinal: int) -> None:
    """Copy the bytes of a row group, and change its description to where they stand now."""
    begins = []
    for chunk in group[COLUMNS][1][1]:
        meta: Struct = chunk[META][1]
        pages = [field for field in (DICTIONARY, INDEX_PAGE, DATA_PAGE) if field in meta]
        begin = min(meta[field][1] for field in pages)
        moved = _copy(stream, out, begin, meta[COMPRESSED][1]) - begin
        begins.append(begin + moved)
        for field in pages:
            meta[field] = I64, meta[field][1] + moved
        if chunk[CHUNK_OFFSET][1]:
            chunk[CHUNK_OFFSET] = I64, chunk[CHUNK_OFFSET][1] + moved
        for field in INDEX_FIELDS:  # no reader needs a page index
            chunk.pop(field, None)
    for chunk in group[COLUMNS][1][1]:
        meta = chunk[META][1]
        if BLOOM in meta and BLOOM_LENGTH in meta:
            meta[BLOOM] = I64, _copy(stream, out, meta[BLOOM][1], meta[BLOOM_LENGTH][1])
        else:
            meta.pop(BLOOM, None)
    if GROUP_OFFSET in group:
        group[GROUP_OFFSET] = I64, min(begins)
    if ORDINAL in group:
        group[ORDINAL] = I16, ordinal


def _copy(stream: BinaryIO, out: BinaryIO, begin: int, size: int) -> int:
    """Append bytes of a file to another; return where they stand there."""
    place = out.tell()
    stream.seek(begin)
    out.writelines(_pieces(stream, size))
    return place


def _pieces(stream: BinaryIO, size: int) -> Iterator[bytes]:
    while size:
        piece = stream.read(min(size, 1 << 22))
        if not piece:
            raise ParquetError("A file is shorter than its footer says.")
        size -= len(piece)
        yield piece
