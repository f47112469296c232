from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from made_runs import EVIL, SMALL, curves, planned_cases, write_run

from simclick import registry
from simclick.agent import AgentInfo
from simclick.datasets.base import Skipped
from simclick.harness.run import RunSpec, execute
from simclick.harness.specs import AgentSpec, DatasetSpec
from simclick.registry import Entry
from simclick.report.build import ReportResult, build_report


@pytest.fixture(scope="session")
def toy() -> Iterator[None]:
    """The data set ``toy`` of tests/support.py, under its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.datasets.entries, "toy", Entry("support:ToyDataset", "discs"))
        yield


@pytest.fixture(scope="session")
def toy_run(toy: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run on ``toy`` that kept its masks."""
    out = tmp_path_factory.mktemp("toy") / "painter"
    agent = AgentSpec("custom", {"target": "support:Painter"})
    execute(RunSpec(agent, DatasetSpec("toy", {"n": 5}), SMALL, out, save_masks=True))
    return out


@pytest.fixture(scope="session")
def run_paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Runs of every kind: honest, failing, hostile, a bound, random weights, unfinished; two data sets."""
    root = tmp_path_factory.mktemp("runs")
    many = planned_cases(10, 2, targets=("liver", f"{EVIL}_target"))
    few = planned_cases(3, 2, spacing=None, prefix="few")
    skip = [Skipped(f"img{EVIL}.png", "truncated & 50% gone")]

    def write(name: str, agent: AgentInfo | str, dataset: str = "many", **more: object) -> Path:
        cases = many if dataset == "many" else few
        dice = more.pop("dice", None)
        if dice is None:
            dice = curves(len(cases), 6, float(more.pop("skill", 0.0)), len(name))  # type: ignore[arg-type]
        return write_run(root / name, agent, dataset, cases=cases, protocol=SMALL, dice=dice, **more)  # type: ignore[arg-type]

    return [
        write("good", "good", skill=1.0, skipped=skip),
        write("good-few", "good", "few", skill=1.0),
        write("fair", "fair", skill=0.3, failures={4: (2, f"ValueError: {EVIL} & more")}),
        write("fair-few", "fair", "few", skill=0.3),
        write("evil", f"{EVIL}_100%", skill=-0.5),
        write("oracle", AgentInfo("oracle", uses_truth=True), dice=np.ones((len(many), 1))),
        write("random", AgentInfo("net", random_weights=True), skill=3.0),
        write("late", "late", skill=2.0, only=7, seal=False),
    ]


@pytest.fixture(scope="session")
def report(run_paths: list[Path], tmp_path_factory: pytest.TempPathFactory) -> ReportResult:
    """The report of all of them."""
    return build_report(run_paths, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def toy_report(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> ReportResult:
    """The report of the real run alone."""
    return build_report([toy_run], tmp_path_factory.mktemp("toy_report"))
