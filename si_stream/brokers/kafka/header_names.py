"""Has kafka-python read records with header names that are no UTF-8, as other programs write them.

The broker takes such a record and kafka-python cannot read past it: one would stop the stream for
ever. Invariant: only names that could not be read are changed, their bytes beyond ASCII to ``?``.
"""

from __future__ import annotations

from typing import Any

from kafka.record import memory_records
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint


class TolerantRecordBatch(DefaultRecordBatch):  # type: ignore[misc]
    __slots__ = ()

    def _read_msg(self) -> Any:
        try:
            return super()._read_msg()
        except UnicodeDecodeError:
            _mend_names(self._buffer, self._pos)
            return super()._read_msg()


def tolerate_any_header_name() -> None:
    memory_records.DefaultRecordBatch = TolerantRecordBatch


def _mend_names(buffer: bytearray, place: int) -> None:
    """Mend the header names of the record at ``place``; its layout is Kafka's, version 2."""
    for _ in ("length", "attributes", "timestamp", "offset"):
        _, place = decode_varint(buffer, place)
    for _ in ("key", "value"):
        place = _behind_bytes(buffer, place)
    count, place = decode_varint(buffer, place)
    for _ in range(count):
        end = _behind_bytes(buffer, place)
        _, begin = decode_varint(buffer, place)
        name = bytes(buffer[begin:end])
        if name.decode("utf-8", errors="ignore").encode() != name:
            buffer[begin:end] = name.decode("ascii", errors="replace").replace("�", "?").encode()
        place = _behind_bytes(buffer, end)


def _behind_bytes(buffer: bytearray, place: int) -> int:
    length, begin = decode_varint(buffer, place)
    return int(begin + max(length, 0))
