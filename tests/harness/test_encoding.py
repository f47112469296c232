"""An agent's images through the cache, and whole runs with it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cached_agents import Blurry

from simclick.config import compose_run
from simclick.errors import ConfigError
from simclick.harness.embedding_cache import EmbeddingCache, Entry
from simclick.harness.encoding import Encoder, Encodes
from simclick.harness.engine import Engine
from simclick.harness.reading import read_run
from simclick.harness.records import TIMINGS
from simclick.harness.run import RunSpec, execute
from simclick.harness.specs import AgentSpec, DatasetSpec
from simclick.protocol import load_protocol
from simclick.testing import check_agent
from support import Painter, make_case

PROTOCOL = load_protocol("noc-v1").with_overrides({"budget": 3})
N = 5


# An agent's images


def test_only_what_is_missing_is_encoded(tmp_path: Path) -> None:
    cases = {f"{i}": make_case(i).image for i in range(4)}
    cache = EmbeddingCache(tmp_path)
    Encoder(Blurry(), cache).encode({"1": cases["1"]})
    encoder = Encoder(Blurry(), cache)
    found = encoder.encode(cases)
    assert list(found) == list(cases)
    assert encoder.done == Encodes(1, 3)
    for name, embedding in found.items():
        assert np.array_equal(embedding.data, Blurry().features(cases[name]))
        assert embedding.image is cases[name]


def test_what_the_agent_cannot_unpack_is_encoded_again(tmp_path: Path) -> None:
    cache, image = EmbeddingCache(tmp_path), make_case().image
    cache.write(Entry("name", Blurry().encoder_digest() or ""), {"grey": np.zeros((2, 2), np.float32)})
    encoder = Encoder(Blurry(), cache)
    assert np.array_equal(encoder.encode({"name": image})["name"].data, Blurry().features(image))
    assert encoder.done == Encodes(0, 1)
    assert Encoder(Blurry(), cache).encode({"name": image})["name"].data.shape == image.shape[:2]


def test_an_agent_with_a_cache_conforms() -> None:
    check_agent(Blurry())


def test_an_embedding_that_loses_something_does_not_conform() -> None:
    class Loses(Blurry):
        def pack_embedding(self, embedding: Any) -> dict[str, np.ndarray]:
            return {"grey": embedding.data.round(1)}

    with pytest.raises(AssertionError, match="packed and unpacked gives other masks"):
        check_agent(Loses())


# Whole runs


def spec(out: Path, cache: Path | None, **changes: Any) -> RunSpec:
    params = changes.pop("params", {})
    engine = {"workers": changes.pop("workers", 1), "cache_fp16": changes.pop("fp16", False)}
    values = {
        "agent": AgentSpec("custom", {"target": "cached_agents:Blurry", "params": params}),
        "dataset": DatasetSpec("phantoms"),
        "protocol": PROTOCOL,
        "out": out,
        "limit": N,
        "engine": Engine(cache=None if cache is None else str(cache), **engine),
        **changes,
    }
    return RunSpec(**values)


def encodes(run: RunSpec) -> int:
    """Run, and return how many images the agent encoded in this process."""
    before = Blurry.encoded
    assert execute(run).failed == 0
    return Blurry.encoded - before


def images(out: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((out / "manifest.json").read_text())["images"]
    return found


def rows(out: Path) -> dict[str, pd.DataFrame]:
    run = read_run(out)
    tables = {name: run.table(name) for name in ("episodes", "steps", "prompts")}
    return {n: t.drop(columns=[c for c in TIMINGS if c in t.columns]) for n, t in tables.items()}


def assert_same_rows(a: Path, b: Path) -> None:
    for name, table in rows(a).items():
        pd.testing.assert_frame_equal(table, rows(b)[name])


def test_a_second_run_with_another_protocol_encodes_nothing(tmp_path: Path) -> None:
    other = load_protocol("click-noise-v1").with_overrides({"budget": 2, "repeats": 2, "levels": [0, 5]})
    cache = tmp_path / "cache"
    plain = encodes(spec(tmp_path / "plain", None, protocol=other))
    different = read_run(tmp_path / "plain").cases().image_sha256.nunique()
    assert 1 < different <= plain
    assert encodes(spec(tmp_path / "first", cache)) == different
    assert encodes(spec(tmp_path / "second", cache, protocol=other)) == 0
    assert encodes(spec(tmp_path / "third", cache, params={"prompt_option": 0.2})) == 0
    assert encodes(spec(tmp_path / "fourth", cache, params={"weight": 2.0})) == different
    assert_same_rows(tmp_path / "plain", tmp_path / "second")
    assert images(tmp_path / "first")["encoded"] == different
    assert images(tmp_path / "second") == {"read": plain, "encoded": 0}
    said = [
        json.loads((tmp_path / n / "run.json").read_text())["embedding_cache"] for n in ("plain", "first")
    ]
    assert said == [False, True]
    assert (
        read_run(tmp_path / "plain").description["plan_digest"]
        == (read_run(tmp_path / "second").description["plan_digest"])
    )


def test_half_precision_gives_the_same_rows_cold_and_warm_under_a_digest_of_its_own(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    different = encodes(spec(tmp_path / "exact", cache))
    execute(spec(tmp_path / "cold", cache, fp16=True, workers=2))
    assert images(tmp_path / "cold")["encoded"] >= different  # nothing is shared with exact entries
    assert encodes(spec(tmp_path / "warm", cache, fp16=True)) == 0  # what workers wrote
    assert_same_rows(tmp_path / "cold", tmp_path / "warm")
    digests = {n: set(rows(tmp_path / n)["episodes"].agent_digest) for n in ("exact", "cold")}
    assert len(digests["exact"]) == len(digests["cold"]) == 1
    assert digests["exact"] != digests["cold"]
    assert encodes(spec(tmp_path / "exact again", cache)) == 0
    assert_same_rows(tmp_path / "exact", tmp_path / "exact again")


def test_an_agent_that_does_not_take_part_runs_as_ever(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert encodes(spec(tmp_path / "run", tmp_path / "cache", params={"says": False}, fp16=True)) > 0
    assert not list(tmp_path.rglob("*.safetensors"))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["embedding_cache"] is False
    assert Painter().encoder_digest() is None


def test_bad_settings_are_one_line(tmp_path: Path) -> None:
    for bad, words in (
        ({"cache_gb": 0}, "engine.cache_gb=0: must be a number > 0"),
        ({"cache_gb": float("nan")}, "must be a number > 0"),
        ({"cache_gb": "20"}, "must be a number > 0"),
        ({"cache_fp16": 1}, "engine.cache_fp16=1: must be true or false"),
        ({"cache": 3}, "engine.cache=3: must be a folder, or null"),
    ):
        with pytest.raises(ConfigError, match=words):
            Engine(**bad)  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"engine.cache=.*file: .*choose another folder"):
        execute(spec(tmp_path / "run", tmp_path / "file"))
    assert not (tmp_path / "run").exists()


def test_it_is_set_on_the_command_line() -> None:
    odd = "my, {cache} = here"
    words = ["agent=disc", f"engine.cache={odd}", "engine.cache_gb=1.5", "engine.cache_fp16=true"]
    assert compose_run(words).engine == Engine(cache=odd, cache_gb=1.5, cache_fp16=True)
    assert compose_run(["agent=disc"]).engine == Engine()
