"""SAM as an agent: the official classes, encoded once per image and decoded in batches.

Follows the official ``SamPredictor`` (facebookresearch/segment-anything) step by step: the image is
resized to the encoder's longest side, normalised and padded; prompts are scaled with it; low-resolution
logits are scaled up, cut and scaled to the image, and thresholded at 0. On equal weights the logits are
equal, which the tests check.

Requests are decoded together when they share image, number of points, presence of a box and of a
previous mask: SAM's padding points take part in its attention, so requests of different form cannot be
padded to one batch without changing their masks. With ``decoder=fast``, which masks what a request does not
use out of the attention, any requests are decoded together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide

from simclick.agent import Agent, AgentInfo, Embedding, Prediction, Request
from simclick.baselines.sam.everything import EverythingOptions, segment_everything
from simclick.baselines.sam.fast.answers import FastAnswers
from simclick.baselines.sam.fast.attention import ATTENTIONS
from simclick.baselines.sam.fast.encoder import fast_encoder, form_of
from simclick.baselines.sam.identity import encoder_identity, source_sha256, versions
from simclick.errors import ConfigError
from simclick.prompts import Prompt

__all__ = [
    "DECODERS",
    "DTYPES",
    "MULTIMASK",
    "SamAgent",
    "SamOptions",
    "batch_settings",
    "decode_batch",
    "encoder_settings",
]

MULTIMASK = ("first-click", "always", "never")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
DECODERS = ("torch", "onnx", "fast")
_SMALL = 32 * 32
"""Places of an embedding that still count as few."""


def decode_batch(device: str, places: int) -> int:
    """Return how many requests are decoded at once, for embeddings of so many places.

    On a CPU a batch pays as long as it fits the caches: 16 requests at 16 x 16 places take a tenth less time
    than four times 4 (the fast decoder; the official one a twentieth), at 64 x 64 more than 4 were slower.
    """
    if device == "cpu":
        return 16 if places <= _SMALL else 4
    return 64


@dataclass(frozen=True)
class SamOptions:
    """How a SAM answers.

    Attributes:
        multimask: When three masks are predicted: ``first-click`` (SAM's own advice: only while
            there is a single click and nothing else), ``always`` or ``never``.
        feed_logits: Whether the chosen mask's low-resolution logits are fed back.
        device: ``cpu`` or ``cuda``.
        dtype: ``fp32``, ``bf16`` or ``fp16``, by autocast.
        encoder_batch: Images per encode. With more than one the last bits of an image's features may depend
            on the others of its batch, and so a mask's pixels, rarely, on what a cache of embeddings held.
        everything: How a request to segment everything is answered.
        decoder: ``torch`` (the official code), ``onnx`` for a graph made from the weights, or ``fast``: on
            torch, requests of any images and form in one batch, logits equal to the official ones to 1e-4 of
            their largest value in single precision (clicks and boxes; Everything mode stays on torch).
        attention: How the encoder attends: ``plain`` is the official code; the others are fused and equal
            to it within rounding (`simclick.baselines.sam.fast.attention`); ``auto`` is ``plain`` except in
            half precision on a GPU.
        compile: Whether the encoder's blocks are compiled at the first image of a batch size.
    """

    multimask: str = "first-click"
    feed_logits: bool = True
    device: str = "cpu"
    dtype: str = "fp32"
    encoder_batch: int = 1
    everything: EverythingOptions = field(default_factory=EverythingOptions)
    decoder: str = "torch"
    attention: str = "auto"
    compile: bool = False

    def __post_init__(self) -> None:
        if self.attention not in ATTENTIONS:
            raise ConfigError(f"agent.attention={self.attention}: must be one of {', '.join(ATTENTIONS)}")
        if self.attention in {"flex", "triton"} and self.device == "cpu":
            raise ConfigError(
                f"agent.attention={self.attention}: needs agent.device=cuda; use auto or folded"
            )
        if not isinstance(self.compile, bool):
            raise ConfigError(f"agent.compile={self.compile}: must be true or false")
        if self.multimask not in MULTIMASK:
            raise ConfigError(f"agent.multimask={self.multimask}: must be one of {', '.join(MULTIMASK)}")
        if not isinstance(self.feed_logits, bool):
            raise ConfigError(f"agent.feed_logits={self.feed_logits}: must be true or false")
        if self.dtype not in DTYPES:
            raise ConfigError(f"agent.dtype={self.dtype}: must be one of {', '.join(DTYPES)}")
        if self.decoder not in DECODERS:
            raise ConfigError(f"agent.decoder={self.decoder}: must be one of {', '.join(DECODERS)}")
        if self.dtype == "fp16" and self.device == "cpu":
            raise ConfigError("agent.dtype=fp16: needs agent.device=cuda; on a CPU use fp32 or bf16")
        if (
            isinstance(self.encoder_batch, bool)
            or not isinstance(self.encoder_batch, int)
            or self.encoder_batch < 1
        ):
            raise ConfigError(f"agent.encoder_batch={self.encoder_batch}: must be a whole number ≥ 1")


@dataclass(frozen=True, eq=False)
class _Features:
    """An encoded image: Float[1, C, h, w], and its size before padding."""

    features: torch.Tensor
    input_size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class _Question:
    """A request in SAM's terms, in the encoder's frame."""

    points: NDArray[np.float64]  # [N, 2]
    labels: NDArray[np.int64]  # [N]
    box: NDArray[np.float64] | None  # [4]
    logits: torch.Tensor | None  # [h, w]
    multimask: bool

    @property
    def form(self) -> tuple[int, bool, bool, bool]:
        """What requests must share to be decoded together."""
        return len(self.points), self.box is not None, self.logits is not None, self.multimask


class SamAgent(Agent):
    """A `Sam` model as an agent.

    All clicks so far and the latest box are given at every step, with the previous chosen
    mask's low-resolution logits where `SamOptions.feed_logits` is set. A round that asks for everything is
    answered by `simclick.baselines.sam.everything`, whatever else it holds.

    Args:
        model: The model, weights loaded.
        info: What it is.
        options: How it answers.
    """

    def __init__(self, model: Sam, info: AgentInfo, options: SamOptions) -> None:
        self.info = info
        self.options = options
        self.model = model.to(options.device).eval().requires_grad_(False)
        height, width = model.prompt_encoder.image_embedding_size
        self.batch = decode_batch(options.device, height * width)
        self._resize: Any = ResizeLongestSide(model.image_encoder.img_size)
        self._graph: Any = None
        if options.decoder == "onnx":
            from simclick.baselines.sam.onnx_decoder import OnnxDecoder

            self._graph = OnnxDecoder(self.model, options.device)
        self._fast: FastAnswers | None = None
        if options.decoder == "fast":
            self._fast = FastAnswers(self.model, options.device, DTYPES[options.dtype])
        self._identity: tuple[object, str] | None = None
        self._encoder = fast_encoder(
            self.model.image_encoder,
            options.attention,
            options.device,
            DTYPES[options.dtype],
            options.compile,
        )

    @torch.inference_mode()
    def encode(self, images: Sequence[NDArray[np.uint8]]) -> Sequence[Embedding]:
        """Encode images in batches of `SamOptions.encoder_batch`."""
        handles: list[Embedding] = []
        for i in range(0, len(images), self.options.encoder_batch):
            chunk = images[i : i + self.options.encoder_batch]
            # The resizer wants a writable array, and gives a new one.
            resized = [self._resize.apply_image(image.copy()) for image in chunk]
            tensors = [torch.as_tensor(r, device=self.options.device).permute(2, 0, 1) for r in resized]
            padded = torch.stack([self.model.preprocess(t) for t in tensors])
            with self._autocast():
                features = self._encoder(padded)
            for image, small, one in zip(chunk, resized, torch.split(features.float(), 1), strict=True):
                handles.append(Embedding(image, _Features(one, small.shape[:2])))
        return handles

    def encoder_digest(self) -> str:
        """Return a digest of weights, preprocessing, precision and libraries; prompts play no part."""
        state = versions(self.model)
        if self._identity is None or state is None or self._identity[0] != state:
            options, encode = self.options, type(self).encode
            how = {
                "encode": [f"{encode.__module__}.{encode.__qualname__}", source_sha256(encode)],
                "version": self.info.version,
                "device": options.device,
                "dtype": options.dtype,
                **encoder_settings(self.model.image_encoder, options),
            }
            self._identity = state, encoder_identity(self.model, self._resize, how)
        return self._identity[1]

    def pack_embedding(self, embedding: Embedding) -> dict[str, NDArray[Any]]:
        """Return the features and the image's size in the encoder's frame."""
        image: _Features = embedding.data
        size = np.array(image.input_size, np.int64)
        return {"features": image.features.cpu().numpy(), "input_size": size}

    def unpack_embedding(self, image: NDArray[np.uint8], arrays: Mapping[str, NDArray[Any]]) -> Embedding:
        """Return the embedding that was packed, on the device."""
        height, width = (int(side) for side in arrays["input_size"])
        features = torch.tensor(arrays["features"], device=self.options.device)
        return Embedding(image, _Features(features, (height, width)))

    def predict(self, requests: Sequence[Request]) -> Sequence[Prediction]:
        """Answer requests, those of one image and form together (with ``decoder=fast`` all together)."""
        answers: dict[int, Prediction] = {}
        questions: dict[int, _Question] = {}
        together: dict[Any, list[int]] = {}
        for i, request in enumerate(requests):
            if any(prompt.kind == "everything" for prompt in request.rounds[-1].prompts):
                answers[i] = self._everything(request.embedding)
                continue
            questions[i] = self._question(request)
            form = () if self._fast is not None else (id(request.embedding), questions[i].form)
            together.setdefault(form, []).append(i)
        for indices in together.values():
            for i in range(0, len(indices), self.batch):
                chunk = indices[i : i + self.batch]
                asked, posed = [requests[k] for k in chunk], [questions[k] for k in chunk]
                if self._fast is not None:
                    masks = self._decode_fast(self._fast, asked, posed)
                else:
                    masks = self._decode(asked[0].embedding.data, asked[0].size, posed)
                answers.update(zip(chunk, masks, strict=True))
        return [answers[i] for i in range(len(requests))]

    @torch.inference_mode()
    def _everything(self, embedding: Embedding) -> Prediction:
        if embedding.image is None:
            raise ValueError("the embedding was released before it was used")
        image: _Features = embedding.data
        with self._autocast():
            return segment_everything(
                self.model, embedding.image, image.features, image.input_size, self.options.everything
            )

    def _question(self, request: Request) -> _Question:
        clicks = [p for p in request.prompts if p.kind == "click"]
        boxes = [p for p in request.prompts if p.kind == "box"]
        points = np.array([p.landed for p in clicks], dtype=np.float64).reshape(-1, 2)
        logits = request.memory if self.options.feed_logits else None
        return _Question(
            points=self._resize.apply_coords(points, request.size),
            labels=np.array([int(p.positive) for p in clicks], dtype=np.int64),
            box=self._resize.apply_boxes(np.array([boxes[-1].landed], np.float64), request.size)[0]
            if boxes
            else None,
            logits=logits,
            multimask=self._multimask(request.prompts),
        )

    def _multimask(self, prompts: Sequence[Prompt]) -> bool:
        if self.options.multimask == "first-click":
            return len(prompts) == 1 and prompts[0].kind == "click"
        return self.options.multimask == "always"

    @torch.inference_mode()
    def _decode(
        self, image: _Features, size: tuple[int, int], questions: Sequence[_Question]
    ) -> list[Prediction]:
        """Decode questions of one form on one image."""
        decode = self._by_torch if self._graph is None else self._by_graph
        low, scores = decode(image, questions)
        low = low.float()
        rated: NDArray[np.float32] = scores.float().cpu().numpy()
        masks = self._masks(low, image, size)
        return [Prediction(masks[i], rated[i], list(low[i])) for i in range(len(questions))]

    @torch.inference_mode()
    def _decode_fast(
        self, fast: FastAnswers, requests: Sequence[Request], questions: Sequence[_Question]
    ) -> list[Prediction]:
        """Decode questions of any form on any images."""
        images: dict[int, _Features] = {id(r.embedding): r.embedding.data for r in requests}
        places = {name: place for place, name in enumerate(images)}
        of = [places[id(request.embedding)] for request in requests]
        decoded = fast([image.features for image in images.values()], of, questions)
        predictions = []
        for request, (low, scores) in zip(requests, decoded, strict=True):
            masks = self._masks(low[None], images[id(request.embedding)], request.size)[0]
            predictions.append(Prediction(masks, scores.cpu().numpy(), list(low)))
        return predictions

    def _masks(self, low: torch.Tensor, image: _Features, size: tuple[int, int]) -> NDArray[np.bool_]:
        """Return masks at the image's size, Bool[B, K, H, W], of logits Float[B, K, h, w]."""
        full = self.model.postprocess_masks(low, image.input_size, size) > self.model.mask_threshold
        masks: NDArray[np.bool_] = full.cpu().numpy()
        return masks

    def _by_graph(
        self, image: _Features, questions: Sequence[_Question]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        answers = [
            self._graph(image.features, q.points, q.labels, q.box, q.logits, q.multimask) for q in questions
        ]
        return torch.stack([low for low, _ in answers]), torch.stack([scores for _, scores in answers])

    def _by_torch(
        self, image: _Features, questions: Sequence[_Question]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        device, first = self.options.device, questions[0]
        points = boxes = logits = None
        if len(first.points):
            coords = np.stack([q.points for q in questions])
            labels = np.stack([q.labels for q in questions])
            points = (
                torch.as_tensor(coords, dtype=torch.float, device=device),
                torch.as_tensor(labels, dtype=torch.int, device=device),
            )
        if first.box is not None:
            boxes = torch.as_tensor(
                np.stack([q.box for q in questions if q.box is not None]), dtype=torch.float, device=device
            )
        if first.logits is not None:
            logits = torch.stack([q.logits for q in questions if q.logits is not None])[:, None]
        with self._autocast():
            sparse, dense = self.model.prompt_encoder(points=points, boxes=boxes, masks=logits)
            low, scores = self.model.mask_decoder(
                image_embeddings=image.features,
                image_pe=self.model.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=first.multimask,
            )
        return low, scores

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.options.dtype == "fp32":
            return nullcontext()
        return torch.autocast(self.options.device, dtype=DTYPES[self.options.dtype])


def encoder_settings(encoder: torch.nn.Module, options: SamOptions) -> dict[str, Any]:
    """Return how the encoder runs where that is not the official code, for `AgentInfo.settings`."""
    form = form_of(encoder, options.attention, options.device, DTYPES[options.dtype])
    used = {"attention": form, "compile": options.compile, **batch_settings(options.encoder_batch)}
    return {name: value for name, value in used.items() if value not in ("plain", False)}


def batch_settings(encoder_batch: int) -> dict[str, int]:
    """Return what `AgentInfo.settings` says of `SamOptions.encoder_batch`: nothing where it is 1."""
    return {"encoder_batch": encoder_batch} if encoder_batch > 1 else {}
