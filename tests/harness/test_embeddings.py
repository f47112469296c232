"""Embeddings on disk: never stale, never damaged, never too large, and shared by processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
import warnings
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pandas as pd
import pytest
from cached_agents import DIFFERENT, Blurry, numbered, write_entries

from simclick.config import compose_run
from simclick.errors import ConfigError
from simclick.harness.embeddings import EmbeddingCache, Encoder, Encodes, Entry
from simclick.harness.engine import Engine
from simclick.harness.reading import read_run
from simclick.harness.records import TIMINGS
from simclick.harness.run import RunSpec, execute
from simclick.harness.specs import AgentSpec, DatasetSpec
from simclick.protocol import load_protocol
from simclick.testing import check_agent
from support import Painter, make_case

ENTRY = Entry("image", "encoder")
SHARED = 5e-5
"""Gigabytes: room for about half of the entries that processes write."""
PROTOCOL = load_protocol("noc-v1").with_overrides({"budget": 3})
N = 5


def arrays(seed: int = 0, side: int = 16) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"features": rng.normal(size=(1, 4, side, side)).astype(np.float32), "size": np.array([3, 4])}


def assert_equal(found: dict[str, np.ndarray] | None, wanted: dict[str, np.ndarray]) -> None:
    assert found is not None
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.safetensors"))


# What comes back


@pytest.mark.parametrize(
    "array",
    [
        np.array([np.nan, np.inf, -0.0, 1e-45], np.float32),
        np.linspace(0, 1, 7),
        np.array(3, np.int64),
        np.zeros((2, 0, 3), np.float32),
        np.array([[True, False]]),
        np.arange(6, dtype=np.uint8).reshape(2, 3).T,
        np.array([1, 2], np.float16),
    ],
    ids=lambda a: f"{a.dtype}{list(a.shape)}",
)
def test_arrays_come_back_bit_for_bit(tmp_path: Path, array: np.ndarray) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.write(ENTRY, {"a": array, "b": np.ones(2)})
    assert_equal(cache.read(ENTRY), {"a": array, "b": np.ones(2)})


def test_another_image_encoder_or_precision_is_another_entry(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.write(ENTRY, arrays())
    for other in (Entry("other", "encoder"), Entry("image", "other"), Entry("image", "encoder", fp16=True)):
        assert cache.read(other) is None
    assert Entry("ab", "c").name != Entry("a", "bc").name
    assert_equal(cache.read(ENTRY), arrays())


def test_half_precision_rounds_once_and_takes_half_the_place(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    given = {"small": arrays(side=64)["features"], "huge": np.array([1e6], np.float32), "n": np.array([7])}
    half = Entry("image", "encoder", fp16=True)
    cache.write(half, given)
    wanted = {**given, "small": given["small"].astype(np.float16).astype(np.float32)}
    assert_equal(cache.read(half), wanted)  # what half precision cannot hold is kept whole
    small = cache.size()
    cache.write(ENTRY, given)
    assert (cache.size() - small) / small > 1.9


# Damage


@pytest.mark.parametrize("length", [0, 7, 8, 20, 300, -1])
def test_a_truncated_entry_is_a_miss_and_is_removed(tmp_path: Path, length: int) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.write(ENTRY, arrays())
    (file,) = files(tmp_path)
    file.write_bytes(file.read_bytes()[:length])
    assert cache.read(ENTRY) is None
    assert not files(tmp_path)
    cache.write(ENTRY, arrays())
    assert_equal(cache.read(ENTRY), arrays())


def test_a_flipped_bit_anywhere_never_gives_other_arrays(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.write(ENTRY, arrays(side=8))
    (file,) = files(tmp_path)
    whole = file.read_bytes()
    chance = random.Random(0)
    header = int.from_bytes(whole[:8], "little") + 8
    places = [
        *range(8),
        *chance.sample(range(8, header), 150),
        *chance.sample(range(header, len(whole)), 150),
    ]
    missed = 0
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << chance.randrange(8)
        file.write_bytes(damaged)
        found = cache.read(ENTRY)
        if found is None:
            missed += 1
            assert not file.exists()
        else:
            assert_equal(found, arrays(side=8))
    assert missed > 0.95 * len(places)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 64,
        b"\x02" + bytes(7) + b"[]",
        b"\x14" + bytes(7) + b'{"__metadata__":[3]}',
        b"PK\x03\x04",
    ],
)
def test_a_foreign_file_is_a_miss(tmp_path: Path, content: bytes) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.write(ENTRY, arrays())
    (file,) = files(tmp_path)
    file.write_bytes(content)
    assert cache.read(ENTRY) is None
    assert not file.exists()


def test_an_entry_under_another_ones_name_is_a_miss(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    other = Entry("image", "other weights")
    cache.write(ENTRY, arrays())
    (mine,) = files(tmp_path)
    cache.write(other, arrays(1))
    (theirs,) = set(files(tmp_path)) - {mine}
    theirs.replace(mine)
    assert cache.read(ENTRY) is None
    assert not mine.exists()


# Size


def test_what_was_used_least_recently_makes_room(tmp_path: Path) -> None:
    names = [Entry(f"image {i}", "e") for i in range(9)]
    probe = EmbeddingCache(tmp_path / "probe")
    probe.write(names[0], arrays())
    each = probe.size()
    cache = EmbeddingCache(tmp_path / "cache", 4.5 * each / 1e9)
    for i, name in enumerate(names[:4]):
        cache.write(name, arrays())
        os.utime(cache._path(name), (i, i))
    assert cache.read(names[0]) is not None  # so 1 is the oldest now
    cache.write(names[4], arrays())
    assert [cache.read(name) is not None for name in names[:5]] == [True, False, True, True, True]
    for name in names[5:]:
        cache.write(name, arrays())
        assert cache.size() <= cache.limit
    assert cache.read(names[8]) is not None


def test_a_second_process_bound_counts_what_the_first_wrote(tmp_path: Path) -> None:
    probe = EmbeddingCache(tmp_path / "probe")
    probe.write(ENTRY, arrays())
    two = [EmbeddingCache(tmp_path / "cache", 3.5 * probe.size() / 1e9) for _ in range(2)]
    for i in range(12):
        two[i % 2].write(Entry(f"{i}", "e"), arrays())
        assert two[0].size() <= two[0].limit
    assert len(files(tmp_path / "cache")) == 3


def test_an_entry_beyond_the_bound_is_not_kept_and_removes_nothing(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path, 5e-6)
    cache.write(ENTRY, arrays(side=4))
    cache.write(Entry("large", "e"), arrays(side=64))
    assert len(files(tmp_path)) == 1


def test_the_folder_may_hold_other_things(tmp_path: Path) -> None:
    mine = tmp_path / "ab" / "mine.safetensors"
    mine.parent.mkdir()
    mine.write_bytes(b"x" * 5000)
    cache = EmbeddingCache(tmp_path, 4e-6)
    for i in range(4):
        cache.write(Entry(f"{i}", "e"), arrays(side=4))
    assert mine.read_bytes() == b"x" * 5000


# Crashes and processes


def test_what_a_crash_left_behind_is_removed_once_it_is_old(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.write(ENTRY, arrays())
    folder = files(tmp_path)[0].parent
    old, young = folder / ".a.tmp", folder / ".b.tmp"
    for file in (old, young):
        file.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    EmbeddingCache(tmp_path).write(Entry("next", "e"), arrays())
    assert (old.exists(), young.exists()) == (False, True)


def test_a_wrong_sum_is_mended(tmp_path: Path) -> None:
    EmbeddingCache(tmp_path).write(ENTRY, arrays())
    (tally,) = tmp_path.rglob(".size")
    for wrong in ("nonsense", "-5", "0", str(10**15)):
        tally.write_text(wrong)
        cache = EmbeddingCache(tmp_path)
        cache.write(Entry(wrong, "e"), arrays())
        assert int(tally.read_text()) == cache.size()


def _started(folder: Path, first: int, count: int) -> Any:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=write_entries, args=(str(folder), SHARED, first, count))
    process.start()
    return process


def test_processes_share_a_folder_and_one_is_killed(tmp_path: Path) -> None:
    """One writes to the end, one is killed while it writes: every entry there is whole, within the bound."""
    steady, doomed = _started(tmp_path, 0, 30), _started(tmp_path, 9, 10**9)
    deadline = time.monotonic() + 60
    while len(files(tmp_path)) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(doomed.pid, signal.SIGKILL)
    for process in (steady, doomed):
        process.join(60)
    assert (steady.exitcode, doomed.exitcode) == (0, -signal.SIGKILL)
    cache = EmbeddingCache(tmp_path, SHARED)
    assert 0 < cache.size() <= cache.limit
    there = len(files(tmp_path))
    found = {i: a for i in range(DIFFERENT) if (a := cache.read(Entry(f"{i}", "e"))) is not None}
    assert len(found) == there > 0
    for i, kept in found.items():
        assert_equal(kept, numbered(i))


def test_no_lock_is_held_while_an_image_is_encoded(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)

    class Looks(Blurry):
        free = False

        def encode(self, images: Any) -> Any:
            with filelock.FileLock(cache.folder / ".lock", timeout=0):
                self.free = True
            return super().encode(images)

    agent = Looks()
    Encoder(agent, cache).encode({"name": make_case().image})
    assert agent.free
    assert len(files(tmp_path)) == 1


def test_a_disk_that_refuses_costs_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    encoder = Encoder(Blurry(), EmbeddingCache(tmp_path))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match=r"the embedding cache .* cannot be used: .*No space left"):
        encoder.encode({"0": make_case(0).image})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.encode({"1": make_case(1).image, "2": make_case(2).image})
    assert [f for f in tmp_path.rglob("*") if f.is_file() and f.name != ".lock"] == []
    assert encoder.done == Encodes(0, 3)


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
    assert not files(tmp_path)
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
