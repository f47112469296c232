"""Run directories that are not as they should be: one line that names the place, and nothing read for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simclick import registry
from simclick.errors import StoreError
from simclick.harness.out_folder import check_writable, run_around
from simclick.harness.reading import read_run
from simclick.harness.run import RunSpec, execute
from simclick.harness.specs import AgentSpec, DatasetSpec
from simclick.protocol import load_protocol

PROTOCOL = load_protocol("noc-v1").with_overrides({"budget": 2})


@pytest.fixture(autouse=True)
def toys() -> Iterator[None]:
    entry = registry.Entry("support:ToyDataset", "discs")
    registry.datasets.entries["toy-odd"] = entry
    yield
    del registry.datasets.entries["toy-odd"]


def spec(out: Path, **changes: Any) -> RunSpec:
    agent = AgentSpec("custom", {"target": "support:Painter", "params": {"radius": changes.pop("radius", 4)}})
    return replace(RunSpec(agent, DatasetSpec("toy-odd", {"n": 2}), PROTOCOL, out), **changes)


def file_for_folder(run: Path) -> Path:
    for file in (run / "steps").iterdir():
        file.unlink()
    (run / "steps").rmdir()
    (run / "steps").write_text("x")
    return run / "steps"


def stray_folder(run: Path) -> Path:
    (run / "episodes" / "sub").mkdir()
    return run / "episodes" / "sub"


def damaged_cases(run: Path) -> Path:
    (run / "cases.parquet").write_bytes(b"x")
    return run / "cases.parquet"


@pytest.mark.parametrize("odd", [file_for_folder, stray_folder])
@pytest.mark.parametrize("retry", [False, True])
def test_a_run_on_an_odd_folder_names_it(tmp_path: Path, odd: Callable[[Path], Path], retry: bool) -> None:
    execute(spec(tmp_path / "run"))
    (tmp_path / "run" / "manifest.json").unlink()
    place = odd(tmp_path / "run")
    with pytest.raises(StoreError, match=str(place)) as caught:
        execute(spec(tmp_path / "run", retry_failed=retry))
    assert "\n" not in str(caught.value)
    assert place.exists()


@pytest.mark.parametrize("odd", [file_for_folder, damaged_cases])
def test_reading_an_odd_run_names_the_place(tmp_path: Path, odd: Callable[[Path], Path]) -> None:
    execute(spec(tmp_path / "run"))
    (tmp_path / "run" / "manifest.json").unlink()
    place = odd(tmp_path / "run")
    run = read_run(tmp_path / "run")
    with pytest.raises(StoreError, match=rf"{place}.* (is not there|cannot be read)"):
        run.cases() if place.name == "cases.parquet" else run.table("steps")


@pytest.mark.parametrize("content", ["[]", "3", '{"agent": 1, "dataset": {"name": "x"}, "marks": []}'])
def test_a_run_json_of_another_form(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(StoreError, match=r"run\.json holds no run: "):
        read_run(tmp_path)


def test_a_manifest_of_another_form(tmp_path: Path) -> None:
    execute(spec(tmp_path / "run"))
    (tmp_path / "run" / "manifest.json").write_text('{"files": 3}')
    with pytest.raises(StoreError, match=r"manifest\.json cannot be read"):
        read_run(tmp_path / "run")


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a data set is read."""

    def read(*_: object) -> None:
        raise AssertionError("the data were read")

    monkeypatch.setattr("support.ToyDataset.load", read)


def test_what_can_be_known_is_refused_before_the_data_are_read(tmp_path: Path, unread: None) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("precious")
    (tmp_path / "file").write_text("x")
    for out, said in (
        (tmp_path / "full", "is not empty and holds no run"),
        (tmp_path / "file", "is a file"),
        (tmp_path / ("x" * 300), "cannot write"),
    ):
        with pytest.raises(StoreError, match=said):
            execute(spec(out))
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["thesis.tex"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no /proc on this system")
def test_a_place_where_rights_say_yes_and_the_system_no(unread: None) -> None:
    with pytest.raises(StoreError, match="cannot write /proc/"):
        execute(spec(Path("/proc/no-such-place/run")))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 3}, "seed=0, not 3"),
        ({"save_masks": True}, "save_masks=false, not true"),
        ({"radius": 6}, "agent.radius=4, not 6"),
        ({"protocol": PROTOCOL.with_overrides({"budget": 5})}, "protocol.budget=2, not 5"),
        ({"protocol": load_protocol("noc-v1")}, r"protocol=noc-v1\+, not noc-v1"),
        ({"agent": AgentSpec("disc")}, "agent=painter, not disc"),
        ({"dataset": DatasetSpec("phantoms")}, "dataset=toy, not phantoms"),
    ],
)
def test_another_run_is_refused_early_with_what_differs(
    tmp_path: Path, changes: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(spec(tmp_path / "run"))

    def planned(*_: object, **__: object) -> None:
        raise AssertionError("the data were read")

    monkeypatch.setattr("simclick.harness.run.make_plan", planned)
    with pytest.raises(StoreError, match=rf"holds another run \({said}\); choose another out="):
        execute(spec(tmp_path / "run", **changes))


def test_other_data_are_named_once_they_were_read(tmp_path: Path) -> None:
    execute(spec(tmp_path / "run"))
    with pytest.raises(StoreError, match=r"another run \(dataset: 2 cases, not 3\)"):
        execute(spec(tmp_path / "run", dataset=DatasetSpec("toy-odd", {"n": 3})))


def test_no_run_within_a_run(tmp_path: Path) -> None:
    execute(spec(tmp_path / "run"))
    with pytest.raises(StoreError, match=r"lies within .*/run, which is a run directory"):
        execute(spec(tmp_path / "run" / "steps" / "inner"))
    assert run_around(tmp_path / "run" / "steps") == (tmp_path / "run").resolve()
    assert run_around(tmp_path) is None
    assert json.loads((tmp_path / "run" / "run.json").read_text())["plan_digest"]


def test_the_probe_leaves_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
