"""Hostile files of every kind are refused within seconds and a bounded memory, and touch nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import hostile_files
import pytest
from submission_support import made

SECONDS = 10.0
MEMORY = 1 << 30


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of memory and time need a Unix")
def test_every_kind_of_hostile_file_is_refused_in_time_and_memory(tmp_path: Path) -> None:
    folder, here = tmp_path / "files", tmp_path / "here"
    folder.mkdir()
    here.mkdir()
    names = hostile_files.write_hostile(folder)
    done = subprocess.run(
        [sys.executable, hostile_files.__file__, str(folder), made().suite_file],
        capture_output=True,
        text=True,
        timeout=1200,
        cwd=here,
        env={**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for name, one in found.items():
        print(f"{one['cpu']:6.2f} s {one['peak'] >> 20:5d} MiB  {name}: {one['said'][:80]}")
    assert sorted(found) == names
    assert {name: one["said"] for name, one in found.items() if not one["said"].startswith("refused: ")} == {}
    assert {name: one["cpu"] for name, one in found.items() if one["cpu"] >= SECONDS} == {}
    assert {name: one["peak"] for name, one in found.items() if one["peak"] >= MEMORY} == {}
    assert list(here.iterdir()) == []
