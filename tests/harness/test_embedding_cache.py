"""Embeddings on disk: never stale, never damaged, never too large, and shared by processes."""

from __future__ import annotations

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
import pytest
from cached_agents import DIFFERENT, Blurry, numbered, write_entries

from simclick.harness.embedding_cache import EmbeddingCache, Entry
from simclick.harness.encoding import Encoder, Encodes
from support import make_case

ENTRY = Entry("image", "encoder")
SHARED = 5e-5
"""Gigabytes: room for about half of the entries that processes write."""


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
