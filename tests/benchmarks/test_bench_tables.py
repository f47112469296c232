"""The benchmarks' shared parts, and that the page of their tables can be filled."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> object:
    """Return a function that imports a benchmark by name, as its own folder's scripts do."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name: str) -> ModuleType:
        specification = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        assert specification is not None
        assert specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        monkeypatch.setitem(sys.modules, name, module)
        specification.loader.exec_module(module)
        return module

    return load


def test_tables_become_markdown_and_json(benchmark, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    timing = benchmark("timing")
    result = timing.Result("some")
    table = result.table("Title", "what", "ms", note="A note.")
    table.add("a", "1.5")
    with pytest.raises(ValueError, match="3 cells for 2 columns"):
        table.add("a", "1", "2")
    assert table.markdown() == "Title\n\n| what | ms |\n| --- | ---: |\n| a | 1.5 |\n\nA note."
    result.save(tmp_path / "some.json")
    content = json.loads((tmp_path / "some.json").read_text())
    assert content["tables"][0]["rows"] == [["a", "1.5"]]
    assert "before" in content["load"]
    assert "cores" in content["machine"]


def test_blocks_of_the_page_are_replaced_and_nothing_else(benchmark) -> None:  # type: ignore[no-untyped-def]
    every = benchmark("all")
    page = "words\n<!-- a -->\nold\n<!-- /a -->\nmore <!-- b -->\n<!-- /b -->\n"
    new = every.replaced(page, "a", "new")
    assert new == "words\n<!-- a -->\nnew\n<!-- /a -->\nmore <!-- b -->\n<!-- /b -->\n"
    assert every.replaced(new, "a", "old") == page
    with pytest.raises(ValueError, match="no block <!-- c -->"):
        every.replaced(page, "c", "new")


def test_the_page_has_a_block_for_every_benchmark(benchmark) -> None:  # type: ignore[no-untyped-def]
    every = benchmark("all")
    page = (FOLDER.parent / "docs" / "speed.md").read_text(encoding="utf-8")
    for name in every.OPTIONS:
        every.replaced(page, name, "")
        assert (FOLDER / f"{name}.py").is_file()


def test_made_rows_are_written_resumed_and_read(benchmark, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    store = benchmark("store")
    protocol = store.load_protocol("click-noise-v1").with_overrides(
        {"budget": 20, "repeats": 2, "levels": [0.0, 5.0]}
    )
    plan = store.plan_of("swift", protocol, 2)
    store.write(tmp_path / "run", plan)
    assert store.resume(tmp_path / "run", plan) > 0
    from simclick.harness.reading import read_run

    steps = read_run(tmp_path / "run").table("steps")
    assert len(steps) == 2 * 3 * 20
    assert steps["dice"].between(0, 1).all()
    for file in (tmp_path / "run" / "episodes").iterdir():
        file.unlink()
    with pytest.raises(SystemExit, match="0 of 2 shards"):
        store.resume(tmp_path / "run", plan)
