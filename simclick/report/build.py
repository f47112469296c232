"""The report: tables, figures and one page, from run directories."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure

from simclick.errors import ConfigError, SimclickError, StoreError
from simclick.report.boards import Board, make_boards
from simclick.report.figures import Picture, board_pictures
from simclick.report.films import CaseLoader
from simclick.report.folder import OwnFolder
from simclick.report.grid import csv_text
from simclick.report.html import Chapter, render_page
from simclick.report.latex import latex_text
from simclick.report.runs import Section, load_sections, open_runs
from simclick.report.sheets import Sheet, make_sheet, sheet_figure
from simclick.report.studies import make_studies
from simclick.report.study import Study
from simclick.report.style import Look, looks, png_bytes, svg_bytes
from simclick.report.tables import board_grids, board_name, slug
from simclick.report.tidy import tidy_curves, tidy_pairs, tidy_summary
from simclick.report.wording import lead_grid, leads
from simclick.statistics.effort import TimeModel

__all__ = ["ReportResult", "build_report"]

PAGE = "index.html"
INDEX = "report.json"


@dataclass(frozen=True)
class ReportResult:
    """What a report wrote.

    Attributes:
        page: The page.
        files: Every file, the page included, in the order of writing.
        warnings: What a reader must know first, as on the page.
    """

    page: Path
    files: tuple[Path, ...]
    warnings: tuple[str, ...]


@dataclass
class _Folder:
    """The folder of a report: knows its own files, so that a later report can take them away."""

    own: OwnFolder
    names: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """Where it lies."""
        return self.own.root

    def write(self, name: str, content: str | bytes) -> str:
        """Write a file and return its name; a name that is taken gets a number."""
        stem, dot, suffix = name.rpartition(".")
        number = 1
        while name.lower() in {taken.lower() for taken in self.names}:
            number += 1
            name = f"{stem}-{number}{dot}{suffix}"
        if not self.names:
            self.own.claim()
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.names.append(name)
        return name

    def clear(self) -> None:
        """Remove the files that an earlier report says it wrote here."""
        try:
            names = json.loads((self.root / INDEX).read_text(encoding="utf-8"))["files"]
        except (OSError, ValueError, KeyError, TypeError):
            return
        for name in names:
            path = self.root / str(name)
            if path.parent in (self.root / "tables", self.root / "figures"):
                path.unlink(missing_ok=True)


def build_report(runs: Sequence[str | Path], out: str | Path, time: TimeModel | None = None) -> ReportResult:
    """Write the report of some runs: ``index.html``, ``tables/``, ``figures/``, ``report.json``.

    Runs may differ in agent, data set, protocol and seed; what is not comparable stands apart. A run
    that is not finished is shown and marked, and not ranked. A folder given twice counts once. The same
    runs give the same files; the tables and figures of an earlier report in the folder are removed.

    Args:
        runs: Run directories, at least one.
        out: The folder to write.
        time: The model of time behind simulated seconds; None: its defaults.

    Raises:
        ConfigError: Without runs, or when the folder holds anything but an earlier report, or is or lies
            within a run directory.
        StoreError: When a run cannot be read, two hold the same, or the folder cannot be written.
        DataError: When two runs disagree on the content of a case.
    """
    if not runs:
        raise ConfigError("a report needs at least one run directory")
    out = Path(out)
    own = OwnFolder(out, INDEX, "report")
    own.check()
    opened = open_runs(runs)
    sections = load_sections(opened)
    look = looks([entrant for section in sections for entrant in section.entrants.values()])
    folder = _Folder(own)
    loader = CaseLoader()
    try:
        folder.clear()
        chapters: list[Chapter] = []
        boards: list[Board] = []
        for section in sections:
            for board in make_boards(section):
                boards.append(board)
                # Stronger noise has its own study; its boards are in the tidy tables.
                if board.level == section.levels[0]:
                    chapters.append(_chapter(board, f"board-{len(chapters) + 1}", loader, look, folder))
        studies = [(study, _keep(study, folder)) for study in make_studies(sections, look, time)]
        tidy = {"summary": tidy_summary, "differences": tidy_pairs, "curves": tidy_curves}
        for name, gather in tidy.items():
            folder.write(f"tables/{name}.csv", gather(boards).to_csv(index=False, lineterminator="\n"))
        warnings = tuple(_warnings(sections))
        folder.write(PAGE, render_page(sections, chapters, studies, look, warnings))
        index = {"runs": _identities(sections), "files": sorted(folder.names)}
        folder.write(INDEX, json.dumps(index, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise StoreError(f"cannot write {out}: {error.strerror or error}; choose another --out") from None
    return ReportResult(out / PAGE, tuple(out / name for name in folder.names), warnings)


def _identities(sections: Sequence[Section]) -> list[dict[str, object]]:
    return [
        {
            "agent": label,
            "agent_digest": run.description["agent"]["digest"],
            "dataset": run.dataset,
            "protocol": section.protocol["id"],
            "protocol_digest": section.protocol["digest"],
            "seed": section.seed,
            "plan_digest": run.description.get("plan_digest"),
            "sealed": run.sealed,
        }
        for section in sections
        for label, run in section.runs
    ]


def _chapter(
    board: Board,
    anchor: str,
    loader: CaseLoader,
    look: Mapping[str, Look],
    folder: _Folder,
) -> Chapter:
    """Make and write everything of one board."""
    name = board_name(board)
    grids = board_grids(board)
    found = leads(board)
    constants = grids["main"][0].constants
    lead = lead_grid(board, found, slug(name, "leads"), constants) if found else None
    for grid in [*([lead] if lead else []), *(g for some in grids.values() for g in some)]:
        folder.write(f"tables/{grid.name}.csv", csv_text(grid))
        folder.write(f"tables/{grid.name}.tex", latex_text(grid))
    pictures = []
    for picture in board_pictures(board, look):
        svg = svg_bytes(picture.figure)
        folder.write(f"figures/{name}_{picture.kind}.svg", svg)
        folder.write(f"figures/{name}_{picture.kind}.png", png_bytes(picture.figure))
        pictures.append((picture, svg))
    sheets = []
    for sheet in _sheets(board, loader):
        file = f"figures/{name}_{slug(sheet.label)}_episodes.png"
        sheets.append((sheet, folder.write(file, png_bytes(_sheet_figure(board, sheet)))))
    return Chapter(board, anchor, found, lead, grids, pictures, sheets)


def _keep(study: Study, folder: _Folder) -> list[tuple[Picture, bytes]]:
    """Write everything of a study; return its figures with their bytes as SVG."""
    for name, table in study.tables.items():
        folder.write(f"tables/{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    for grid in study.grids:
        folder.write(f"tables/{grid.name}.tex", latex_text(grid))
    pictures = []
    for picture in study.pictures:
        svg = svg_bytes(picture.figure)
        folder.write(f"figures/{study.kind}_{picture.kind}.svg", svg)
        folder.write(f"figures/{study.kind}_{picture.kind}.png", png_bytes(picture.figure))
        pictures.append((picture, svg))
    return pictures


def _sheets(board: Board, loader: CaseLoader) -> Iterator[Sheet]:
    """Yield the contact sheets of a data set's board; a bound's episodes are all alike and left out."""
    if not board.dataset:
        return
    runs = {label: run for label, run in board.section.runs if run.dataset == board.dataset}
    for standing in board.standings:
        if standing.entrant.bound:
            continue
        label = standing.label
        episodes = board.episodes[board.episodes["agent"] == label]
        try:
            yield make_sheet(label, runs[label], loader, episodes, board.rounds)
        except SimclickError as error:
            yield Sheet(label, (), f"Not shown: {error}")


def _sheet_figure(board: Board, sheet: Sheet) -> Figure:
    rows = [
        (
            f"{s.rank}: {s.case_id} ({s.target}), {s.what} {s.value:.3f}{'. ' + s.text if s.text else ''}",
            s.tiles,
        )
        for s in sheet.strips
    ]
    return sheet_figure(f"{sheet.label} on {board.phrase}", rows)


def _warnings(sections: Sequence[Section]) -> Iterator[str]:
    """Yield what a reader must know before the numbers."""
    if len(sections) > 1:
        names = ", ".join(f"{s.name} with seed {s.seed}" for s in sections)
        yield f"Runs under different protocols or seeds are not comparable; each stands apart: {names}."
    for section in sections:
        for (label, dataset), (done, planned) in section.unsealed.items():
            yield f"{label} on {dataset} is not finished: {done} of {planned} episodes. Not ranked."
        for label, entrant in section.entrants.items():
            if entrant.random_weights:
                yield f"{label} has random weights: its numbers say nothing about the method; not ranked."
        if section.protocol["select"] == "oracle":
            yield f"Under {section.name} masks were chosen with the truth: all its numbers are upper bounds."
        yield from _coverage(section)
    versions = {run.description.get("versions", {}).get("simclick") for s in sections for _, run in s.runs}
    if len(versions) > 1:
        yield f"Different versions of simclick made these runs: {', '.join(sorted(map(str, versions)))}."
    if any(
        (run.description.get("git") or {}).get("dirty") for section in sections for _, run in section.runs
    ):
        yield "Some runs were made from a source tree with uncommitted changes (see Provenance)."


def _coverage(section: Section) -> Iterator[str]:
    for label, run in section.runs:
        done, planned = section.covered[label, run.dataset], len(section.planned[run.dataset])
        if run.sealed and done < planned:
            yield f"{label} did {done} of the {planned} cases of {run.dataset}. It is not ranked there."
