"""SAM's decoder as an ONNX graph answers as the one on torch."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra sam)")
pytest.importorskip("segment_anything", reason="segment-anything is not installed (extra sam)")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra onnx)")
pytest.importorskip("onnx", reason="onnx is not installed (extra train)")

from test_sam import FEW_POINTS, SEQUENCES, agent, image  # noqa: E402

from simclick.agent import Request  # noqa: E402
from simclick.baselines.sam.onnx_decoder import OnnxDecoder  # noqa: E402
from simclick.baselines.sam.predictor import SamOptions  # noqa: E402
from simclick.baselines.sam.reduced import reduced_sam  # noqa: E402
from simclick.errors import ConfigError  # noqa: E402
from simclick.prompts import Round  # noqa: E402
from simclick.testing import check_agent  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def test_logits_and_scores_equal_those_on_torch(record_property: Any) -> None:
    model = reduced_sam(seed=4)
    plain, graph = agent(model), agent(model, decoder="onnx")
    worst = 0.0
    for size in ((60, 90), (200, 150)):
        (embedding,) = plain.encode([image(*size)])
        for prompts in SEQUENCES.values():
            for memory in (None, torch.linspace(-3, 3, 32 * 32).reshape(32, 32)):
                rounds = tuple(Round((prompt,)) for prompt in prompts)
                request = Request(embedding, size, rounds, memory=memory)
                (a,), (b,) = plain.predict([request]), graph.predict([request])
                assert a.memories is not None
                assert b.memories is not None
                assert len(a.memories) == len(b.memories)
                assert all(torch.isfinite(one).all() and one.std() > 0 for one in a.memories)
                for one, other in zip(a.memories, b.memories, strict=True):
                    worst = max(worst, float((one - other).abs().max()))
                worst = max(worst, float(np.abs(np.asarray(a.scores) - np.asarray(b.scores)).max()))
                assert np.mean(np.asarray(a.candidates) != np.asarray(b.candidates)) < 1e-4
    record_property("largest difference", worst)
    print(f"ONNX decoder: largest difference {worst:.2e}")
    assert worst < 1e-4


def test_conforms() -> None:
    check_agent(agent(decoder="onnx", everything=FEW_POINTS))


def test_another_decoder_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"agent.decoder=tensorrt: must be one of torch, onnx"):
        SamOptions(decoder="tensorrt")


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"agent.decoder=onnx needs onnxruntime: pip install"):
        OnnxDecoder(reduced_sam())
