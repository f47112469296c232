# mypy: ignore-errors
r"""SimpleClick (Liu et al., ICCV 2023) in its own environment, with its own code and checkpoints.

    simclick run agent=process dataset=phantoms \
      agent.command='/envs/simpleclick/bin/python simpleclick.py' \
      agent.options.repository=/src/SimpleClick agent.options.checkpoint=cocolvis_vit_base.pth \
      agent.options.trust_checkpoint=true

The predictor, its zoom-in and its flip are the repository's own, set as `scripts/evaluate_model.py` sets
them: the crop is squashed to 448 x 448 from the first click on. (There DAVIS alone gets 672 x 672: say
`size` for that; nothing here goes by a data set's name.) What the predictor keeps from click to click
travels as memory, so that episodes may be asked in any order.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where simclick ships simclick_method.py
from simclick_method import Answer, Method, device, serve  # noqa: I001  (first: prints go to the log)

import numpy as np
import torch

_CITATION = """\
@inproceedings{liu2023simpleclick,
  author    = {Liu, Qin and Xu, Zhenlin and Bertasius, Gedas and Niethammer, Marc},
  title     = {{SimpleClick}: Interactive Image Segmentation with Simple Vision Transformers},
  booktitle = {IEEE/CVF International Conference on Computer Vision (ICCV)},
  pages     = {22290--22300},
  year      = {2023},
}"""


class SimpleClick(Method):
    """SimpleClick's predictor as its evaluator sets it up.

    Args:
        repository: A checkout of github.com/uncbiag/SimpleClick.
        checkpoint: An official checkpoint.
        size: Side of the squashed crop.
        threshold: A pixel is in the mask where its probability is above it.
        flip: Average with the mirrored image.
        trust_checkpoint: The official files pickle a loss object, which safe loading refuses; with this
            they are unpickled, which can run any code that they hold.
        random_weights: The checkpoint is not trained (for tests).
    """

    name = "simpleclick"
    source = "https://github.com/uncbiag/SimpleClick"
    licence = "MIT (code)"
    training_data = "COCO+LVIS or SBD, as the checkpoint's name says"
    accepts = ("click",)
    uses_previous = True
    family = "iterative"
    citation = _CITATION

    def __init__(
        self,
        repository,
        checkpoint,
        size=448,
        threshold=0.49,
        flip=True,
        trust_checkpoint=False,
        random_weights=False,
    ):
        use_repository(repository)
        from isegm.inference.predictors import get_predictor
        from isegm.model.modeling.pos_embed import interpolate_pos_embed_inference
        from isegm.utils.serialization import load_model

        self.device = chosen_device()
        content = load(checkpoint, trust_checkpoint)
        model = load_model(content["config"], False)
        ready(model, content["state_dict"], self.device)
        interpolate_pos_embed_inference(model.backbone, (size, size), self.device)
        self.threshold = threshold
        self.predictor = get_predictor(
            model,
            "NoBRS",
            self.device,
            prob_thresh=threshold,
            with_flip=flip,
            zoom_in_params={"skip_clicks": -1, "target_size": (size, size)},
        )
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        self.weights_sha256 = sha256(checkpoint)
        self.random_weights = random_weights
        self.image_size = size
        self.settings = {"size": size, "threshold": threshold, "flip": flip}

    def segment(self, request):
        """Restore the predictor to where it was after the chosen mask, and let it go on."""
        return continued(self.predictor, self.predictor.zoom_in, request, self.threshold)


def continued(predictor, zoom_in, request, threshold):
    """Return a predictor's next answer.

    Its state between clicks is the last probability map, which it and its zoom-in both hold, and the crop. A
    previous mask without a memory is taken for probabilities 0 and 1.
    """
    from isegm.inference.clicker import Click, Clicker

    clicks = [Click(prompt.positive, (prompt.at[1], prompt.at[0])) for prompt in request.prompts]
    with torch.no_grad():
        predictor.set_input_image(request.features)
        probabilities, crop = None, None
        if request.memory is not None:
            probabilities, crop = request.memory["probabilities"], request.memory["crop"]
        elif request.previous is not None:
            probabilities = request.previous.astype(np.float32)
        if probabilities is not None:
            known = torch.from_numpy(probabilities)[None, None].to(predictor.device)
            predictor.prev_prediction = known
            zoom_in._prev_probs = known.cpu().numpy()
            zoom_in._object_roi = None if crop is None else tuple(crop)
        answer = predictor.get_prediction(Clicker(init_clicks=clicks))
    crop = zoom_in._object_roi
    memory = {
        "probabilities": np.asarray(answer, dtype=np.float32),
        "crop": None if crop is None else [int(side) for side in crop],
    }
    return Answer([answer > threshold], memories=[memory])


def use_repository(repository):
    """Make a repository's `isegm` importable, also where NumPy has dropped names that it uses."""
    folder = Path(repository).expanduser()
    if not (folder / "isegm").is_dir():
        raise ValueError(f"{folder} is no checkout: there is no folder isegm in it")
    sys.path.insert(0, str(folder))
    for name, kind in (("int", int), ("float", float), ("bool", bool)):
        if name not in vars(np):
            setattr(np, name, kind)


def chosen_device():
    """Return the device that the run asks for."""
    asked = device()
    if asked == "auto":
        asked = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(asked)


def load(checkpoint, trust):
    """Return a checkpoint's content, a mapping of `config` and `state_dict`."""
    path = Path(checkpoint).expanduser()
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if not trust:
            raise ValueError(
                f"{path.name} cannot be loaded safely ({type(error).__name__}); if you trust where it comes "
                "from, say agent.options.trust_checkpoint=true: that can run any code it holds"
            ) from None
        content = torch.load(path, map_location="cpu", weights_only=False)
    if not isinstance(content, dict) or not {"config", "state_dict"} <= set(content):
        raise ValueError(f"{path.name} is no checkpoint of this repository: it needs config and state_dict")
    return content


def ready(model, state, where):
    """Load weights, every key of them, and set the model to answer."""
    model.load_state_dict(state, strict=True)
    model.requires_grad_(False)
    model.to(where)
    model.eval()


def sha256(path):
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with Path(path).expanduser().open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


if __name__ == "__main__":
    serve(SimpleClick)
