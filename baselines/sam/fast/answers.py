"""Requests of any images and any form, decoded together by `FastDecoder`: ``agent.decoder=fast``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import Tensor

from simclick.baselines.sam.fast.decoder import (
    BOX_END,
    BOX_START,
    NEGATIVE,
    PADDING,
    POSITIVE,
    UNUSED,
    FastDecoder,
)
from simclick.errors import ConfigError

__all__ = ["FastAnswers", "Question"]


class Question(Protocol):
    """A request in SAM's terms, in the encoder's frame."""

    @property
    def points(self) -> NDArray[np.float64]:
        """Float64[N, 2]."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Int64[N], 1 inside, 0 outside."""

    @property
    def box(self) -> NDArray[np.float64] | None:
        """Float64[4]."""

    @property
    def logits(self) -> Tensor | None:
        """Float[h, w], the previous mask's logits."""

    @property
    def multimask(self) -> bool:
        """Whether three masks are wanted instead of one."""


class FastAnswers:
    """Decodes questions with a SAM's weights.

    Args:
        model: A model whose prompt encoder and mask decoder are the official ones.
        device: Where.
        dtype: In which precision.

    Raises:
        ConfigError: When they are not.
    """

    def __init__(self, model: Sam, device: str, dtype: torch.dtype) -> None:
        kinds = (type(model.prompt_encoder), type(model.mask_decoder), type(model.mask_decoder.transformer))
        if kinds != (PromptEncoder, MaskDecoder, TwoWayTransformer):
            raise ConfigError("agent.decoder=fast: this model has a decoder of its own; use torch")
        self.device = device
        self.decoder = FastDecoder(model, dtype).to(device)

    def __call__(
        self, images: Sequence[Tensor], of: Sequence[int], questions: Sequence[Question]
    ) -> list[tuple[Tensor, Tensor]]:
        """Return low-resolution logits Float32[K, h, w] and predicted IoUs Float32[K] of each question.

        Args:
            images: Float[1, C, h, w] each.
            of: The image of each question.
            questions: What is asked.
        """
        tokens = [_tokens(question) for question in questions]
        longest = max(len(labels) for _, labels in tokens)
        points = np.zeros((len(tokens), longest, 2))
        labels = np.full((len(tokens), longest), UNUSED)
        for i, (at, kinds) in enumerate(tokens):
            points[i, : len(kinds)], labels[i, : len(kinds)] = at, kinds
        previous, known = self._logits(questions)
        low, scores = self.decoder(
            self.decoder.images(torch.cat(list(images))),
            torch.as_tensor(of, device=self.device),
            torch.as_tensor(points, dtype=torch.float, device=self.device),
            torch.as_tensor(labels, device=self.device),
            previous,
            known,
        )
        parts = [slice(1, None) if question.multimask else slice(0, 1) for question in questions]
        # Copies: what is fed back must not keep the logits of the whole batch.
        return [(low[i, part].clone(), scores[i, part]) for i, part in enumerate(parts)]

    def _logits(self, questions: Sequence[Question]) -> tuple[Tensor | None, Tensor | None]:
        """Return the previous masks' logits and who has any; None where all or none have."""
        given = [question.logits for question in questions]
        some = next((logits for logits in given if logits is not None), None)
        if some is None:
            return None, None
        blank = torch.zeros_like(some)
        filled = torch.stack([blank if logits is None else logits for logits in given])
        if all(logits is not None for logits in given):
            return filled, None
        return filled, torch.tensor([logits is not None for logits in given], device=self.device)


def _tokens(question: Question) -> tuple[NDArray[np.float64], list[int]]:
    """Return a question's points, Float64[N, 2], and what each is."""
    kinds = [POSITIVE if label else NEGATIVE for label in question.labels]
    if question.box is not None:
        return np.concatenate([question.points, question.box.reshape(2, 2)]), [*kinds, BOX_START, BOX_END]
    if kinds:
        return np.concatenate([question.points, np.zeros((1, 2))]), [*kinds, PADDING]
    return question.points, kinds
