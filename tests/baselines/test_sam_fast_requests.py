"""`agent.decoder=fast`: any requests in one batch, answered as the official decoder does one by one."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra sam)")
pytest.importorskip("segment_anything", reason="segment-anything is not installed (extra sam)")

from test_sam import FEW_POINTS, SEQUENCES, agent, image  # noqa: E402

from simclick.agent import Prediction, Request  # noqa: E402
from simclick.baselines.sam.fast.decoder import FastDecoder  # noqa: E402
from simclick.baselines.sam.reduced import reduced_sam  # noqa: E402
from simclick.errors import ConfigError  # noqa: E402
from simclick.prompts import Round, everything  # noqa: E402
from simclick.testing import check_agent  # noqa: E402

TOLERANCE = 1e-4
"""Of the largest logit."""


pytestmark = pytest.mark.usefixtures("one_thread")


def requests(sam: object) -> list[Request]:
    """Return requests of every form on images of several sizes, in a mixed order."""
    sizes = ((60, 90), (200, 150), (128, 128))
    embeddings = agent(reduced_sam(seed=4)).encode([image(*size) for size in sizes])
    memory = torch.linspace(-3, 3, 32 * 32).reshape(32, 32)
    made = [
        Request(embedding, size, tuple(Round((prompt,)) for prompt in prompts), memory=kept)
        for prompts in SEQUENCES.values()
        for kept in (None, memory)
        for embedding, size in zip(embeddings, sizes, strict=True)
    ]
    order = np.random.default_rng(0).permutation(len(made))
    return [made[i] for i in order]


def assert_close(mine: Prediction, official: Prediction) -> None:
    assert mine.memories is not None
    assert official.memories is not None
    assert len(mine.memories) == len(official.memories)
    for a, b in zip(mine.memories, official.memories, strict=True):
        assert b.std() > 0
        assert float((a - b).abs().max()) < TOLERANCE * float(b.abs().max())
    assert np.allclose(mine.scores, official.scores, atol=TOLERANCE)
    one, other = np.asarray(mine.candidates), np.asarray(official.candidates)
    assert one.shape == other.shape
    assert one.dtype == np.bool_
    assert np.mean(one != other) < 1e-3


@pytest.mark.parametrize("batch", [1, 4, 64])
def test_mixed_requests_are_answered_as_one_by_one(batch: int) -> None:
    official, fast = agent(reduced_sam(seed=4)), agent(reduced_sam(seed=4), decoder="fast")
    fast.batch = batch
    asked = requests(official)
    for mine, theirs in zip(fast.predict(asked), official.predict(asked), strict=True):
        assert_close(mine, theirs)


def test_a_batch_is_one_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    forward = FastDecoder.forward

    def counted(self: FastDecoder, images: object, of: object, *rest: object) -> object:
        sizes.append(len(of))  # type: ignore[arg-type]
        return forward(self, images, of, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(FastDecoder, "forward", counted)
    fast = agent(reduced_sam(seed=4), decoder="fast")
    fast.batch = 16
    fast.predict(requests(fast))
    assert sizes == [16, 14]


def test_conforms() -> None:
    check_agent(agent(decoder="fast", everything=FEW_POINTS))


def test_everything_among_other_requests() -> None:
    official, fast = agent(reduced_sam(seed=4)), agent(reduced_sam(seed=4), decoder="fast")
    asked = requests(official)[:3]
    asked.insert(1, Request(asked[0].embedding, asked[0].size, (Round((everything(),)),)))
    mine, theirs = fast.predict(asked), official.predict(asked)
    for i in (0, 2, 3):
        assert_close(mine[i], theirs[i])
    assert [len(p.scores) for p in mine] == [len(p.scores) for p in theirs]


def test_a_decoder_of_another_kind_is_refused() -> None:
    model = reduced_sam()

    class Other(type(model.mask_decoder)):  # type: ignore[misc]
        pass

    model.mask_decoder.__class__ = Other
    with pytest.raises(ConfigError, match=r"agent.decoder=fast: .*decoder of its own; use torch"):
        agent(model, decoder="fast")
