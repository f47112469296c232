"""Small cases, annotators and agents for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclick.agent import Agent, AgentInfo, Prediction, Request, SimpleAgent
from simclick.case import Case
from simclick.datasets.base import Dataset, DatasetInfo
from simclick.errors import DataError


def disc_mask(height: int, width: int, x: int, y: int, radius: float) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:height, :width]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def make_case(index: int = 0, size: tuple[int, int] = (40, 48), **changes: Any) -> Case:
    height, width = size
    truth = disc_mask(height, width, 14 + index % 7, 18, 9)
    image = np.repeat((truth * 120 + 60).astype(np.uint8)[..., None], 3, axis=2)
    values: dict[str, Any] = {
        "case_id": f"case-{index:03d}",
        "dataset": "toy",
        "image": image,
        "truth": truth,
        "group": f"patient-{index // 2}",
        "modality": "ct",
        "target": "disc",
        "spacing": None,
    }
    return Case(**{**values, **changes})


class ToyDataset(Dataset):
    """`n` discs; the case numbers in `bad` cannot be read."""

    def __init__(self, n: int = 6, bad: Sequence[int] = (), skip_invalid: bool = False) -> None:
        super().__init__(skip_invalid)
        self.info = DatasetInfo("toy")
        self.n = n
        self.bad = set(bad)

    def references(self) -> Sequence[int]:
        return range(self.n)

    def load(self, reference: int) -> Case:
        if reference in self.bad:
            raise DataError(f"toy file {reference} is truncated")
        return make_case(reference)


class Painter(SimpleAgent):
    """Paints a square at every click: grows on positive ones, shrinks on negative ones."""

    def __init__(self, radius: int = 4) -> None:
        self.info = AgentInfo("painter", settings={"radius": radius})
        self.radius = radius

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        mask = np.zeros(request.size, dtype=np.bool_)
        for prompt in request.prompts:
            x, y = prompt.landed
            r = self.radius
            mask[max(0, y - r) : y + r + 1, max(0, x - r) : x + r + 1] = prompt.positive
        return mask


class Batched(Painter):
    """The same with a batch of 8 and several candidates; remembers the sizes of its batches."""

    batch = 8

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.encoded = 0

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> Any:
        self.encoded += len(images)
        return super().encode(images)

    def predict(self, requests: Sequence[Request]) -> Sequence[Prediction]:
        self.sizes.append(len(requests))
        answers = []
        for request in requests:
            assert request.embedding.image is not None
            mask = self.segment(request.embedding.image, request)
            empty = np.zeros_like(mask)
            answers.append(Prediction(np.stack([empty, mask, ~empty]), [0.1, 0.9, 0.2], ["a", "b", "c"]))
        return answers


class Broken(Agent):
    """Breaks its contract in a chosen way from the second step on."""

    batch = 4

    def __init__(self, how: str = "raise", case: int | None = None) -> None:
        self.info = AgentInfo("broken", settings={"how": how})
        self.how = how

    def predict(self, requests: Sequence[Request]) -> Sequence[Prediction]:
        answers = []
        for request in requests:
            good = Prediction(np.ones((1, *request.size), dtype=np.bool_))
            answers.append(good if len(request.rounds) < 2 else self._bad(request, good))
        return answers

    def _bad(self, request: Request, good: Prediction) -> Any:
        if self.how == "raise":
            raise RuntimeError("out of\nideas")
        return {
            "shape": Prediction(np.ones((1, 3, 3), dtype=np.bool_)),
            "dtype": Prediction(np.ones((1, *request.size), dtype=np.uint8)),  # type: ignore[arg-type]
            "nan": Prediction(np.ones((1, *request.size), dtype=np.bool_), [float("nan")]),
            "scores": Prediction(np.ones((1, *request.size), dtype=np.bool_), [1.0, 2.0]),
            "none": None,
            "empty": Prediction(np.ones((0, *request.size), dtype=np.bool_), []),
            "memories": Prediction(np.ones((1, *request.size), dtype=np.bool_), [1.0], []),
        }[self.how]
