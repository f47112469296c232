"""Methods that are run again in tests: forgers', and honest ones with faults. All of them paint discs."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from submission_support import Made, found, tiny_data

from simclick.agent import Embedding, Request
from simclick.baselines.sanity import Disc
from simclick.harness.specs import AgentSpec
from simclick.leaderboard.rerun import Rerun, rerun

MANY = 14
"""Cases of a suite on which retouched masks can be told."""


def method(name: str) -> AgentSpec:
    """Return one of the methods below."""
    return AgentSpec("custom", {"target": f"rerun_methods:{name}"})


def again(it: Made, folder: Path, agent: AgentSpec, sample: int, sample_seed: int = 1) -> Rerun:
    """Replay a submission, which must pass, and run a method again on a sample of it."""
    result = found(it.write(folder), it.suite_file, sample=sample, sample_seed=sample_seed)
    assert result["findings"] == {}, "it passes every check of the replay"
    about = result["archive"]
    return rerun(agent, result["episodes"], it.suite, {}, about["digests"][0], about["told"], seconds=300)


class Peek(Disc):
    """Says that it is `disc`, and reads the public truth of the data set instead."""

    patients = 3

    def __init__(self) -> None:
        super().__init__()
        dataset = tiny_data(self.patients).make()
        cases = [dataset.load(reference) for reference in dataset.references()]
        self._truths = {case.image.tobytes(): case.truth for case in cases}

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        """Return the truth, but for a corner that makes it look honest."""
        mask = self._truths[image.tobytes()].copy()
        mask[: 4 + len(request.rounds)] = False
        mask[:2, :2] = True
        return mask


class Fails(Peek):
    """Peeks as well, and ends every episode with a failure."""

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        """Return the forged mask, but for the fifth click, which is the last here."""
        if len(request.rounds) == 5:
            raise ValueError("CUDA out of memory")
        return super().segment(image, request)


class Retouch(Peek):
    """Says that it is `disc`, and moves its mask towards the truth as far as a rerun tolerates."""

    patients = MANY

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        """Return the disc with one pixel in fifty mended."""
        mask = Disc.segment(self, image, request).copy()
        truth = self._truths[image.tobytes()]
        most = int(0.0198 * mask.sum())
        too_much, too_little = np.flatnonzero(mask & ~truth)[:most], np.flatnonzero(~mask & truth)[:most]
        if len(too_much) >= len(too_little):
            mask.flat[too_much] = False
        else:
            mask.flat[too_little] = True
        return mask


class Own(Disc):
    """An honest agent of one's own, which happens to paint discs."""

    def __init__(self) -> None:
        super().__init__()
        self.info = replace(self.info, name="own")


class Shaky(Own):
    """Its rounding differs from run to run: one pixel in fifty of its rim flickers."""

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        """Return the disc with noise that is another in the rerun's process."""
        mask = super().segment(image, request).copy()
        rim = np.flatnonzero(mask ^ np.roll(mask, 1, axis=1))
        side = multiprocessing.parent_process() is None
        noise = np.random.default_rng([crc32(image.tobytes()), len(request.rounds), side])
        flipped = rim[noise.random(len(rim)) < 0.02]
        mask.flat[flipped] = ~mask.flat[flipped]
        return mask


class Fumbles(Own):
    """Fails at the third click of every episode, always."""

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        """Return the disc, or fail."""
        if len(request.rounds) == 3:
            raise ValueError("three is too many")
        return super().segment(image, request)


class Speaks(Own):
    """Fails at the third click, with a long reason in Chinese."""

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        """Return the disc, or fail."""
        if len(request.rounds) == 3:
            raise ValueError("内存不足" * 200)
        return super().segment(image, request)


class Leaves(Own):
    """Asks its process to end at the third click, with a reason that would steer a terminal."""

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        """Return the disc, or leave."""
        if len(request.rounds) == 3:
            raise SystemExit("\x1b[31mbye")
        return super().segment(image, request)


class LeavesAtOnce(Own):
    """Ends its process before it is made."""

    def __init__(self) -> None:
        raise SystemExit("\x1b[31mnever")


class Recovered(Own):
    """The same without its failure: what a forger's method does when somebody else runs it."""


class Dies(Own):
    """Ends its process at the third click."""

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        """Return the disc, or nothing ever."""
        if len(request.rounds) == 3:
            os._exit(3)
        return super().segment(image, request)


class Blind(Own):
    """Its encoder fails on dark images."""

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> Sequence[Embedding]:
        """Return the images, if they are bright."""
        if any(image.mean() < _bright() for image in images):
            raise ValueError("too \x1b[31mdark")
        return super().encode(images)


def _bright() -> float:
    """Return a brightness that some, not all, of the images have."""
    dataset = tiny_data().make()
    means = sorted(dataset.load(reference).image.mean() for reference in dataset.references())
    return float(means[1])


class Nearly(Own):
    """A very good method: the truth but for a hundredth of it."""

    def __init__(self) -> None:
        super().__init__()
        dataset = tiny_data(MANY).make()
        cases = [dataset.load(reference) for reference in dataset.references()]
        self._truths = {case.image.tobytes(): case.truth for case in cases}

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        """Return the truth without some of its first pixels."""
        mask = self._truths[image.tobytes()].copy()
        mask.flat[np.flatnonzero(mask)[: mask.sum() // 110 + 1]] = False
        return mask


class Flawless(Nearly):
    """What a forger submits as `Nearly`: the truth itself, within what a rerun tolerates."""

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        """Return the truth."""
        return self._truths[image.tobytes()].copy()


class Prints(Own):
    """Prints on both streams, past Python's own objects too."""

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        """Return the disc, and say so."""
        print("\x1b[31msaid on output")
        print("\x1b[32msaid on error", file=sys.stderr)
        os.write(1, b"\x1b[33msaid below\n")
        os.write(2, b"\x1b[34msaid below\n")
        subprocess.run(["echo", "said by a child"], check=True)
        return super().segment(image, request)


class PrintsAndDies(Own):
    """Says at length why it dies, without a line's end."""

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        """Return nothing ever."""
        sys.stdout.write("loading\n" * 100 + "no memory \x1b[32mleft")
        sys.stdout.flush()
        os._exit(3)


class DiesAtOnce(Own):
    """Ends its process before it is made."""

    def __init__(self) -> None:
        print("libcuda \x1b[31mis missing", file=sys.stderr)
        os._exit(3)


class Floods(Own):
    """Prints a mebibyte for every answer."""

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        """Return the disc after all that."""
        print("flood " * (1 << 18))
        return super().segment(image, request)


class LeavesAChild(Own):
    """Starts a process that outlives it, with its streams."""

    def __init__(self) -> None:
        super().__init__()
        subprocess.Popen(["sleep", "20"])


class Asks(Own):
    """Reads what is typed."""

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        """Return the disc, if nobody answers."""
        if os.read(0, 1):
            raise ValueError("somebody did")
        return super().segment(image, request)
