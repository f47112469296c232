"""RITM (Sofiiuk et al., ICIP 2022) as an agent: ritm_annotation's own predictor, loaded by ``torch.hub``.

The predictor is ritm_annotation's ``BasePredictor`` (RITM's mode ``NoBRS``) with its ``ZoomIn`` and its flip.
It keeps state from click to click (the last probabilities, the crop); that state travels in each mask's
memory, so that any episode's question can be asked in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from simclick.agent import Agent, AgentInfo, Prediction, Request
from simclick.baselines.checkpoints import read_content, unwrapped
from simclick.baselines.chosen import Chosen, choose
from simclick.baselines.fit import mismatch
from simclick.baselines.ritm.networks import MODELS, OWN, check_network, official_network
from simclick.baselines.ritm.zoom import ZoomOptions
from simclick.baselines.sam.devices import resolve_device
from simclick.citations import bibtex
from simclick.errors import ConfigError

__all__ = ["MODELS", "Ritm", "RitmAgent", "hub_folder", "load_by_hub"]

_RANDOM_SEED = 0
_load: Any = torch.hub.load
_OVERLAP = dict.fromkeys(
    ("phantoms", "mni152", "cosmos", "sam_med2d", "medscribble"), "none known: trained on natural photographs"
)


@dataclass(frozen=True)
class _State:
    """What the predictor keeps between clicks."""

    probabilities: torch.Tensor  # [1, 1, H, W]
    zoom: tuple[Any, ...] | None  # ZoomIn's state; its cut-out image is made anew


def hub_folder() -> Path:
    """Return the folder with this project's ``hubconf.py``."""
    return Path(__file__).resolve().parent / "hub"


def load_by_hub(hub: str | None, path: Path, device: str, strict: bool) -> torch.nn.Module:
    """Return the network of a checkpoint, by ``torch.hub.load``.

    Args:
        hub: None for this project's own folder; a folder; or ``OWNER/REPOSITORY[:REF]``, which must be in
            torch's hub folder already: code is never fetched here.
        path: The checkpoint.
        device: Where to put it.
        strict: Refuse a checkpoint with missing or unexpected keys.

    Raises:
        ConfigError: When there is no such hub, or the checkpoint is not what it should be.
    """
    options: dict[str, Any] = {"checkpoint": str(path), "device": device, "strict": strict}
    folder = hub_folder() if hub is None else Path(hub).expanduser()
    try:
        if folder.is_dir():
            return cast(torch.nn.Module, _load(str(folder), "ritm", source="local", **options))
        kept = _cached(str(hub))
        # Fetching is impossible: the folder is there, and `skip_validation` asks no server.
        model = _load(kept, "ritm", trust_repo=True, skip_validation=True, verbose=False, **options)
    except (ValueError, RuntimeError, FileNotFoundError) as error:
        raise ConfigError(" ".join(str(error).split())) from None
    return cast(torch.nn.Module, model)


def _cached(hub: str) -> str:
    owner, _, rest = hub.partition("/")
    repository, _, reference = rest.partition(":")
    if not owner or not repository or "/" in repository or not reference:
        raise ConfigError(f"agent.hub={hub}: no such folder, and not of the form OWNER/REPOSITORY:REF")
    folder = Path(torch.hub.get_dir()) / f"{owner}_{repository}_{reference.replace('/', '_')}"
    if not folder.is_dir():
        raise ConfigError(f"agent.hub={hub}: not in torch's hub folder; clone it to {folder}")
    return hub


class RitmAgent(Agent):
    """A RITM network as an agent: clicks give one mask.

    Args:
        model: The network, in evaluation mode.
        info: What it is.
        device: ``cpu`` or ``cuda``.
        threshold: Probability above which a pixel is object; 0.49 in RITM's evaluator.
        flip: Average with the mirrored image's answer.
        zoom: How it zooms in; None: not at all.
        clicks_limit: Clicks after this many are not shown to the network; None: all are.
    """

    batch = 1

    def __init__(
        self,
        model: torch.nn.Module,
        info: AgentInfo,
        device: str = "cpu",
        threshold: float = 0.49,
        flip: bool = True,
        zoom: ZoomOptions | None = None,
        clicks_limit: int | None = None,
    ) -> None:
        self.info = info
        self.model = model
        self._device = device
        self._threshold, self._flip, self._zoom, self._limit = threshold, flip, zoom, clicks_limit

    def predict(self, requests: Sequence[Request]) -> Sequence[Prediction]:
        """Answer requests one by one, as RITM's predictor does."""
        return [self._answer(request) for request in requests]

    @torch.inference_mode()
    def _answer(self, request: Request) -> Prediction:
        from ritm_annotation.inference.clicker import Click, Clicker

        image = request.embedding.image
        if image is None:
            raise ValueError("the embedding was released before it was used")
        predictor = self._predictor(image, request)
        clicks = [p for p in request.prompts if p.kind == "click"]
        placed = [Click(p.positive, (int(p.landed[1]), int(p.landed[0]))) for p in clicks]
        probabilities: NDArray[np.float32] = predictor.get_prediction(Clicker(init_clicks=placed))
        mask = probabilities > self._threshold
        score = float(probabilities[mask].mean()) if mask.any() else 0.0
        return Prediction(mask[None], [score], [self._state(predictor)])

    def _predictor(self, image: NDArray[np.uint8], request: Request) -> Any:
        """Return a predictor in the state in which the episode left it."""
        from ritm_annotation.inference.predictors import BasePredictor

        zoom = None if self._zoom is None else self._zoom.make()
        predictor = BasePredictor(
            self.model, self._device, net_clicks_limit=self._limit, with_flip=self._flip, zoom_in=zoom
        )
        predictor.set_input_image(image.copy())  # torch wants a writable array
        state: _State | None = request.memory
        if state is not None:
            predictor.prev_prediction = state.probabilities
            if zoom is not None and state.zoom is not None:
                zoom.set_state(state.zoom)
        elif request.previous is not None:  # a mask from elsewhere counts as certain, as RITM's tool has it
            known = torch.as_tensor(request.previous.astype(np.float32), device=self._device)
            predictor.prev_prediction = known[None, None]
            if zoom is not None:
                zoom._prev_probs = request.previous.astype(np.float32)[None, None]
        return predictor

    @staticmethod
    def _state(predictor: Any) -> _State:
        if predictor.zoom_in is None:
            return _State(predictor.prev_prediction, None)
        shape, roi, probabilities, _, changed = predictor.zoom_in.get_state()
        return _State(predictor.prev_prediction, (shape, roi, probabilities, None, changed))


class Ritm(RitmAgent):
    """RITM with an official checkpoint.

    Args:
        model: Which official checkpoint: one of `MODELS`; a file of one's own must hold the same network.
            ``own``: the network that the file says that it holds.
        checkpoint: A file in RITM's format; None takes the official one from the cache; ``random`` gives
            seeded random weights, which check the code path and prove no quality.
        fetch: Fetch the official checkpoint where the cache lacks it.
        device: ``auto``, ``cpu`` or ``cuda``.
        hub: See `load_by_hub`.
        strict: Refuse a checkpoint with missing or unexpected keys; RITM's own loader ignores them.
        threshold: See `RitmAgent`.
        flip: See `RitmAgent`.
        clicks_limit: See `RitmAgent`.
        zoom: Zoom in.
        zoom_target: See `ZoomOptions`, like the following ones.
        zoom_square: Scale crops to squares.
        zoom_skip_clicks: Clicks without zoom.
        zoom_expansion: Enlargement of the object's box.
        zoom_min_crop: Smallest crop.
        zoom_recompute_iou: When the crop is renewed.
        zoom_threshold: Probability for the crop.

    Raises:
        ConfigError: On a bad option, or a checkpoint that is missing or does not fit.
    """

    def __init__(
        self,
        model: str = "h18_itermask",
        checkpoint: str | None = None,
        fetch: bool = False,
        device: str = "auto",
        hub: str | None = None,
        strict: bool = True,
        threshold: float = 0.49,
        flip: bool = True,
        clicks_limit: int | None = None,
        zoom: bool = True,
        zoom_target: int = 400,
        zoom_square: bool = False,
        zoom_skip_clicks: int = 1,
        zoom_expansion: float = 1.4,
        zoom_min_crop: int = 200,
        zoom_recompute_iou: float = 0.5,
        zoom_threshold: float = 0.5,
    ) -> None:
        _check(model, strict, threshold, flip, clicks_limit, zoom)
        zooming = ZoomOptions(
            zoom_target,
            zoom_square,
            zoom_skip_clicks,
            zoom_expansion,
            zoom_min_crop,
            zoom_recompute_iou,
            zoom_threshold,
        )
        device = resolve_device(device)
        if model == OWN and checkpoint in {None, "random"}:
            raise ConfigError(
                "agent.model=own needs agent.checkpoint=FILE: the file says which network it is"
            )
        chosen = choose(None if model == OWN else f"ritm_{model}", checkpoint, fetch)
        network = _network(chosen, model, device, hub, strict)
        trained = "SBD" if model.startswith("sbd") else "COCO and LVIS"
        info = AgentInfo(
            **chosen.facts(
                "ritm",
                training_data=f"{trained} (natural photographs)",
                overlap=_OVERLAP,
                licence="MIT",
                source="Sofiiuk et al., Reviving Iterative Training with Mask Guidance, ICIP 2022",
            ),
            settings={
                "model": model,
                "strict": strict,
                "threshold": threshold,
                "flip": flip,
                "clicks_limit": clicks_limit,
                "zoom": zooming.settings() if zoom else None,
                "device": device,
            },
            parameters=sum(p.numel() for p in network.parameters()),
            image_size=zoom_target if zoom else None,
            family="iterative",
            uses_previous=zoom or bool(network.with_prev_mask),
            citation=bibtex("sofiiuk2022ritm"),
        )
        super().__init__(network, info, device, threshold, flip, zooming if zoom else None, clicks_limit)


def _check(
    model: str, strict: bool, threshold: float, flip: bool, clicks_limit: int | None, zoom: bool
) -> None:
    if model not in {*MODELS, OWN}:
        raise ConfigError(f"agent.model={model}: must be one of {', '.join([*MODELS, OWN])}")
    for name, value in (("strict", strict), ("flip", flip), ("zoom", zoom)):
        if not isinstance(value, bool):
            raise ConfigError(f"agent.{name}={value}: must be true or false")
    number = isinstance(threshold, (int, float)) and not isinstance(threshold, bool)
    if not number or not 0 <= threshold < 1:
        raise ConfigError(f"agent.threshold={threshold}: must be a number from 0 to 1")
    whole = isinstance(clicks_limit, int) and not isinstance(clicks_limit, bool) and clicks_limit >= 1
    if clicks_limit is not None and not whole:
        raise ConfigError(f"agent.clicks_limit={clicks_limit}: must be a whole number ≥ 1, or null for all")


def _check_fit(state: dict[str, torch.Tensor], model: str, path: Path) -> None:
    with torch.device("meta"):
        expected = official_network(model).state_dict()
    if wrong := mismatch(expected, state):
        raise ConfigError(f"{path} does not fit agent.model={model}: {wrong}")


def _network(chosen: Chosen, model: str, device: str, hub: str | None, strict: bool) -> torch.nn.Module:
    """Return the network: random, or of a file that was looked at before the hub's code sees it."""
    if chosen.path is not None:
        content = read_content(chosen.path)
        if not isinstance(content, list):  # several networks: the hub's entry says so
            check_network(content, model, chosen.path)
            state = unwrapped(content, chosen.path)
            if strict and model != OWN:
                _check_fit(state, model, chosen.path)
        return load_by_hub(hub, chosen.path, device, strict)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_RANDOM_SEED)
        network = official_network(model)
    return network.to(device).eval().requires_grad_(False)
