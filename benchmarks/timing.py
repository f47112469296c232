"""What the benchmarks share: clocks, ratios, tables, and what is said of the machine.

Absolute times hold for one machine under one load; ratios of medians from one run hold further. So every
result is saved with the number of cores, the processor's family and the load of that moment.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

__all__ = ["Result", "Table", "arguments", "cpu_family", "load_words", "machine_words", "peak_mib", "typical"]

_FAMILIES = ("EPYC", "Ryzen", "Xeon", "Core", "Apple", "Neoverse", "Graviton")


def typical(function: Callable[[], Any], repeats: int = 5) -> float:
    """Return the median seconds of a call; one call before them warms up."""
    function()
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return median(found)


def cpu_family() -> str:
    """Return the processor's family, without model and frequency."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return next((family for family in _FAMILIES if family.lower() in name.lower()), platform.machine())


def machine_words() -> str:
    """Return the machine in words: cores and processor family."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores ({cpu_family()}), no GPU used"


def load_words() -> str:
    """Return how busy the machine is: processes that want a core, over the last minute."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def peak_mib() -> float:
    """Return the largest memory that this process ever held, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


@dataclass
class Table:
    """A table that prints its rows as they come.

    Attributes:
        title: One line above it.
        columns: Names; the first column is text, the rest are numbers as text.
        rows: The rows.
        note: What must be said with it.
    """

    title: str
    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    note: str = ""

    def start(self) -> Table:
        """Print title and heads."""
        print(f"\n{self.title}")
        self._print(self.columns)
        return self

    def add(self, *cells: str) -> None:
        """Add a row, and print it."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns")
        self.rows.append(list(cells))
        self._print(cells)

    def _print(self, cells: Sequence[str]) -> None:
        widths = [max(8, len(name)) for name in self.columns]
        widths[0] = max(widths[0], 26)
        shown = [
            f"{cells[0]:<{widths[0]}}",
            *(f"{c:>{w}}" for c, w in zip(cells[1:], widths[1:], strict=True)),
        ]
        print("  ".join(shown), flush=True)

    def markdown(self) -> str:
        """Return the table as Markdown."""
        lines = [
            "| " + " | ".join(self.columns) + " |",
            "|" + "|".join([" --- ", *(" ---: " for _ in self.columns[1:])]) + "|",
            *("| " + " | ".join(row) + " |" for row in self.rows),
        ]
        return "\n".join([f"{self.title}", "", *lines, *(["", self.note] if self.note else [])])


@dataclass
class Result:
    """What one benchmark found.

    Attributes:
        name: Its script's name.
        tables: Its tables.
        load_before: `load_words` when it began.
    """

    name: str
    tables: list[Table] = field(default_factory=list)
    load_before: str = field(default_factory=load_words)

    def table(self, title: str, *columns: str, note: str = "") -> Table:
        """Begin a table."""
        table = Table(title, columns, note=note)
        self.tables.append(table)
        return table.start()

    def save(self, target: Path | None) -> None:
        """Print how busy the machine was, and write everything as JSON where a target is given."""
        for table in self.tables:
            if table.note:
                print(f"note: {table.note}")
        load = f"{self.load_before} before, {load_words()} after"
        print(f"machine: {machine_words()}; load: {load}")
        if target is not None:
            content = {
                "name": self.name,
                "machine": machine_words(),
                "load": load,
                "python": platform.python_version(),
                "tables": [{**asdict(table), "columns": list(table.columns)} for table in self.tables],
            }
            target.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def arguments(text: str | None, *, masks: bool = False) -> argparse.ArgumentParser:
    """Return a parser with the options that benchmarks share."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there as well")
    parser.add_argument("--repeats", type=int, default=5, help="of every measurement (default: 5)")
    if masks:
        parser.add_argument("--ritm", type=Path, help="a checkout of RITM's repository")
        parser.add_argument("--masks", type=Path, help="a folder of 0/255 PNG masks (default: the phantoms)")
    return parser
