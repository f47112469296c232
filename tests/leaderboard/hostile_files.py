"""Hostile files of every kind, small to make and large to read; run as a program, it measures each.

``python hostile_files.py FOLDER SUITE`` examines every file of a folder behind the worker's walls, in a
process each, and prints per file what was said, seconds and peak memory as JSON.
"""

from __future__ import annotations

import io
import json
import os
import stat
import struct
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

NOC = "noc-v1"
_ROWS = 1_234_567
"""Rows of a table whose footer is then made to lie: a number that stands nowhere else."""


def write_hostile(folder: Path) -> list[str]:
    """Write one file of each kind; return their names."""
    for name, make in KINDS.items():
        made_of = make()
        if isinstance(made_of, int):  # a file with a hole: so long, and empty
            with (folder / name).open("wb") as stream:
                stream.truncate(made_of)
        else:
            (folder / name).write_bytes(made_of)
    return sorted(KINDS)


def _files() -> dict[str, bytes]:
    from submission_support import contents, made

    return contents(made().data)


def _with(name: str, data: bytes) -> bytes:
    from submission_support import packed

    return packed({**_files(), name: data})


def _table(name: str, data: bytes) -> bytes:
    return _with(f"runs/{NOC}/{name}.parquet", data)


def _rows(name: str) -> pa.Table:
    return pq.read_table(io.BytesIO(_files()[f"runs/{NOC}/{name}.parquet"]))


def _parquet(rows: pa.Table) -> bytes:
    stream = io.BytesIO()
    pq.write_table(rows, stream, compression="zstd", store_schema=False)
    return stream.getvalue()


def _repeated(name: str, n: int) -> bytes:
    """Return a table that holds its first row over and over."""
    row = _rows(name).slice(0, 1)
    columns = [pa.repeat(row[field.name][0], n) for field in row.schema]
    return _parquet(pa.Table.from_arrays(columns, schema=row.schema))


def _varint(value: int) -> bytes:
    """Return a number as the footer writes it: zigzag, seven bits a byte."""
    value, out = value * 2, bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _lying(rows: int) -> bytes:
    """Return a table of `_ROWS` rows whose footer says another number, everywhere."""
    data = _repeated("episodes", _ROWS)
    size = int.from_bytes(data[-8:-4], "little")
    footer = data[-8 - size : -8].replace(_varint(_ROWS), _varint(rows))
    return data[: -8 - size] + footer + struct.pack("<I", len(footer)) + b"PAR1"


def _runs(counts: Any) -> bytes:
    """Return a table of masks whose first row has these run lengths."""
    rows = _rows("masks")
    lists = rows["counts"].to_pylist()
    values = np.concatenate([counts, np.concatenate([np.asarray(v, np.uint32) for v in lists[1:]])])
    ends = np.cumsum([0, len(counts), *(len(v) for v in lists[1:])])
    column = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(values, pa.uint32()))
    at = rows.schema.get_field_index("counts")
    return _table("masks", _parquet(rows.set_column(at, rows.schema.field(at), column)))


def _many_runs() -> bytes:
    """Return masks with as many run lengths as a table may hold: 64 Mi of nothing in a small file."""
    rows, each = 1024, 65_536
    first = _rows("masks").slice(0, 1)
    columns = {name: pa.repeat(first[name][0], rows) for name in first.column_names if name != "counts"}
    columns["candidate"] = pa.array(range(rows), pa.int32())
    offsets = pa.array(np.arange(rows + 1) * each, pa.int32())
    columns["counts"] = pa.ListArray.from_arrays(offsets, pa.array(np.zeros(rows * each, np.uint32)))
    whole = pa.Table.from_arrays([columns[n] for n in first.column_names], schema=first.schema)
    return _table("masks", _parquet(whole))


def _long_text(n: int) -> bytes:
    steps = _rows("steps")
    at = steps.schema.get_field_index("target")
    return _table("steps", _parquet(steps.set_column(at, "target", pa.array(["x" * n] * steps.num_rows))))


def _submission(change: Callable[[dict[str, Any]], None]) -> bytes:
    from submission_support import with_submission

    return with_submission(_archive(), change)


def _archive() -> bytes:
    from submission_support import made

    return made().data


def _raw_submission(text: bytes) -> bytes:
    from simclick.leaderboard.archive import zip_bytes

    return zip_bytes({**_files(), "submission.json": text})


def _zip(entries: dict[str, bytes], mode: int = stat.S_IFREG, how: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", how) as archive:
        for name, data in entries.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, (mode | 0o644) << 16
            archive.writestr(info, data, how)
    return stream.getvalue()


def _nested() -> bytes:
    inner = _zip({"x": bytes(64 << 20)})
    for _ in range(4):
        inner = _zip({f"runs/r{i}/run.json": inner for i in range(9)})
    return inner


def _overlapping() -> bytes:
    """Return a ZIP whose directory names one stored body sixty times."""
    data = bytearray(_zip({"submission.json": b"{" + b" " * (4 << 20)}, how=zipfile.ZIP_STORED))
    at = data.index(b"PK\x01\x02")
    end = data.rindex(b"PK\x05\x06")
    entry = bytes(data[at:end])
    out = data[:at] + entry * 60
    return bytes(out + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 60, 60, len(entry) * 60, at, 0))


def _flipped() -> bytes:
    data = bytearray(_archive())
    data[len(data) // 2] ^= 1
    return bytes(data)


def _name(value: str) -> Callable[[], bytes]:
    return lambda: _submission(lambda s: s["method"].update(name=value))


KINDS: dict[str, Callable[[], bytes | int]] = {
    "zip bomb, 256 MiB of zeros": lambda: _zip(
        {"submission.json": b"{}", f"runs/{NOC}/run.json": bytes(1 << 28)}
    ),
    "zip bomb, nested": _nested,
    "zip bomb, one body sixty times": _overlapping,
    "zip, a path out of the folder": lambda: _zip({"../../evil": b"x"}, how=zipfile.ZIP_STORED),
    "zip, a symbolic link": lambda: _zip(
        {"submission.json": b"/etc/passwd"}, stat.S_IFLNK, zipfile.ZIP_STORED
    ),
    "zip, 10 000 entries": lambda: _zip({f"runs/r{i}/run.json": b"" for i in range(10_000)}),
    "file of 64 GiB": lambda: 64 << 30,
    "file of 256 MiB of nothing": lambda: 1 << 28,
    "one flipped bit": _flipped,
    "parquet, a footer of a billion rows": lambda: _table("episodes", _lying(10**9)),
    "parquet, a footer of 3 rows over a million": lambda: _table("episodes", _lying(3)),
    "parquet, a million rows": lambda: _table("steps", _repeated("steps", _ROWS)),
    "parquet, a text of 2 MB": lambda: _long_text(2_000_000),
    "parquet, a footer of junk": lambda: _table(
        "steps", b"PAR1" + b"\xff" * (1 << 20) + struct.pack("<I", 1 << 20) + b"PAR1"
    ),
    "runs, terabytes of pixels": lambda: _runs(np.full(60_000, 2**32 - 1, np.uint32)),
    "runs, 8 million in a mask": lambda: _runs(np.zeros(8_000_000, np.uint32)),
    "runs, 64 Mi in a table": _many_runs,
    "runs that do not add up": lambda: _runs(np.array([1, 2, 3], np.uint32)),
    "json, a name of a million characters": _name("x" * 1_000_000),
    "json, a name of script": _name("<script>alert(1)</script>"),
    "json, 8 MB of empty lists": lambda: _raw_submission(b'{"a":[' + b"[]," * 2_700_000 + b"[]]}"),
    "json, 8 MB of opened lists": lambda: _raw_submission(b"[" * (8 << 20)),
    "json, a million keys": lambda: _raw_submission(
        json.dumps({str(i): 0 for i in range(700_000)}, separators=(",", ":")).encode()
    ),
    "json, a number of a million digits": lambda: _raw_submission(b'{"a":' + b"9" * 1_000_000 + b"}"),
    "json, not a number": lambda: _raw_submission(b'{"a":NaN}'),
    "json, a key twice": lambda: _raw_submission(b'{"a":1,"a":2}'),
    "json, utf-16": lambda: _raw_submission('{"a":1}'.encode("utf-16")),
    "json, a run.json of 8 MB": lambda: _with(f"runs/{NOC}/run.json", b'{"a":[' + b"1," * (4 << 20) + b"1]}"),
    "card, 64 kB of opened lists.yaml": lambda: b"a: " + b"[" * (63 << 10),
    "card, 64 kB of keys.yaml": lambda: b"".join(b"k%d: v\n" % i for i in range(5_500)),
    "card, 64 kB of dashes.yaml": lambda: b"- " * (31 << 10),
    "card, 64 kB of questions.yaml": lambda: b"? " * (31 << 10),
    "card, a billion laughs.yaml": lambda: (
        b"a: &a [x,x]\n"
        + b"".join(
            b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(20)
        )
    ),
    "card, a tag that runs.yaml": lambda: b"name: !!python/object/apply:os.system ['touch canary']",
}


def measure(path: Path, suite: str) -> dict[str, Any]:
    """Examine one file in a process of its own behind the walls; say what it said and what it took."""
    here, there = os.pipe()
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(here)
        with os.fdopen(there, "w") as stream:
            stream.write(_examined(path, suite))
        os._exit(0)
    os.close(there)
    with os.fdopen(here) as stream:
        said = stream.read()
    _, status, usage = os.wait4(child, 0)
    return {
        "said": said,
        "status": status,
        "seconds": round(time.monotonic() - start, 2),
        "cpu": round(usage.ru_utime + usage.ru_stime, 2),
        "peak": usage.ru_maxrss << 10,
    }


def _examined(path: Path, suite: str) -> str:
    from simclick.leaderboard.checks import Job, examine
    from simclick.leaderboard.limits import MEMORY, READ_SECONDS, RefusedError
    from simclick.leaderboard.method import read_card
    from simclick.leaderboard.worker import _limit, _limit_time

    _limit(MEMORY)
    _limit_time(READ_SECONDS)
    said: list[Any] = []
    try:
        if path.suffix == ".yaml":
            read_card(path.read_bytes())
            return "accepted"
        examine(Job(path, suite), said.append)
    except RefusedError as refusal:
        return f"refused: {refusal}"
    except (MemoryError, RecursionError) as error:
        return f"refused: {type(error).__name__}"
    findings = said[-1]["findings"]
    return f"refused: {next(iter(findings.items()))}" if findings else "accepted"


def main(folder: str, suite: str) -> None:
    """Measure every file of a folder; print JSON."""
    from simclick.leaderboard.worker import _load

    _load()
    found = {path.name: measure(path, suite) for path in sorted(Path(folder).iterdir())}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
