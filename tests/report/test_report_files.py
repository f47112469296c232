from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from simclick.agent import AgentInfo
from simclick.errors import StoreError
from simclick.report.build import ReportResult, build_report
from simclick.report.figures import _apart
from simclick.report.runs import Entrant
from simclick.report.style import looks, page_svg


def test_every_figure_is_there_as_png_and_svg(report: ReportResult) -> None:
    figures = report.page.parent / "figures"
    for board in ("many", "few", "all"):
        for kind in ("dice", "noc", "reach", "spread"):
            with Image.open(figures / f"small-v1_{board}_{kind}.png") as image:
                pixels = np.asarray(image.convert("RGB"))
                assert image.info["dpi"][0] >= 150
            assert min(pixels.shape[:2]) > 600
            assert pixels.std() > 10  # something is drawn
            assert (figures / f"small-v1_{board}_{kind}.svg").read_text().startswith("<?xml")
    assert (figures / "small-v1_many_scatter.png").is_file()


def test_the_result_names_every_file(report: ReportResult) -> None:
    root = report.page.parent
    assert set(report.files) == {p for p in root.rglob("*") if p.is_file()}
    listed = json.loads((root / "report.json").read_text())
    assert {root / name for name in listed["files"]} | {root / "report.json"} == set(report.files)
    assert {run["agent"] for run in listed["runs"]} >= {"good", "oracle", "late"}
    assert [run["sealed"] for run in listed["runs"] if run["agent"] == "late"] == [False]


def test_the_same_bytes_again_over_an_earlier_report(
    toy_run: Path, toy_report: ReportResult, tmp_path: Path
) -> None:
    stale, own, outside = (tmp_path / name for name in ("tables/stale.csv", "tables/own.txt", "precious.txt"))
    stale.parent.mkdir()
    for file in (stale, own, outside):
        file.write_text("x")
    earlier = ["tables/stale.csv", "tables/../precious.txt", "precious.txt"]
    (tmp_path / "report.json").write_text(json.dumps({"files": earlier}))
    result = build_report([toy_run], tmp_path)
    assert not stale.exists()
    assert own.exists()
    assert outside.exists()
    first = toy_report.page.parent
    names = [file.relative_to(first) for file in toy_report.files]
    assert names == [file.relative_to(tmp_path) for file in result.files]
    for name in names:
        assert (first / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_a_folder_that_cannot_be_written(toy_run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="is a file, not a folder"):
        build_report([toy_run], tmp_path / "file" / "report")


def test_no_two_agents_look_the_same_and_order_of_results_does_not_matter() -> None:
    entrants = [Entrant(f"agent-{i:02d}", _about(f"agent-{i:02d}")) for i in range(30)]
    found = looks(entrants)
    assert len({(look.colour, look.dash, look.marker) for look in found.values()}) == 30
    assert looks(entrants[::-1]) == found
    bound = looks([Entrant("oracle", _about("oracle", uses_truth=True))])["oracle"]
    assert bound.bound
    assert bound.marker == ""


def _about(name: str, **flags: bool) -> dict[str, object]:
    info = AgentInfo(name, **flags)  # type: ignore[arg-type]
    return {"digest": info.digest, "uses_truth": info.uses_truth, "random_weights": info.random_weights}


def test_a_figure_in_a_page_has_ids_of_its_own_and_follows_the_theme() -> None:
    svg = (
        b'<?xml version="1.0"?><svg width="100pt" viewBox="0 0 100 50" xmlns="http://www.w3.org/2000/svg">'
        b'<metadata>x</metadata><!-- <b>name</b> --><defs><clipPath id="p"/></defs>'
        b'<use xlink:href="#p" clip-path="url(#p)" style="fill: #1C2127"/></svg>'
    )
    text = page_svg(svg, "f1")
    assert text.count("f1-p") == 3
    assert "#p" not in text
    assert "var(--ink)" in text
    assert "<!--" not in text
    assert "metadata" not in text
    assert "xmlns" not in text


@pytest.mark.parametrize(
    "wanted", [[0.5], [0.1, 0.1, 0.1], [0.0, 0.95, 0.96, 1.0], list(np.linspace(0, 1, 30))]
)
def test_labels_keep_apart_inside_and_in_order(wanted: list[float]) -> None:
    places = _apart(wanted, 0.05, 0.0, 1.0)
    gap = min(0.05, 1 / max(1, len(wanted) - 1))
    assert all(b - a >= gap - 1e-9 for a, b in itertools.pairwise(places))
    assert min(places) >= -1e-9
    assert max(places) <= 1 + 1e-9


def test_labels_that_have_room_stay_where_they_are() -> None:
    assert _apart([0.2, 0.5, 0.9], 0.1, 0.0, 1.0) == [0.2, 0.5, 0.9]
