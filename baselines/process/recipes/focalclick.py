# mypy: ignore-errors
r"""FocalClick (Chen et al., CVPR 2022) in its own environment, with its own code and checkpoints.

    simclick run agent=process dataset=phantoms \
      agent.command='/envs/clickseg/bin/python focalclick.py' \
      agent.options.repository=/src/ClickSEG agent.options.checkpoint=segformerB0_S2_comb.pth

The predictor, its target crop and its focus crop are the repository's own, set as `scripts/evaluate_model.py`
sets them and its guidance advises: both crops 1.4 times the box, input 256 x 256, threshold 0.5; after ten
clicks only the focus crop changes. What the predictor keeps from click to click travels as memory. The
repository's progressive merge belongs to starting from a given mask, which no episode does.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where simclick ships simclick_method.py
from simclick_method import Method, serve  # noqa: I001  (first: prints go to the log)

from simpleclick import chosen_device, continued, load, ready, sha256, use_repository

_CITATION = """\
@inproceedings{chen2022focalclick,
  author    = {Chen, Xi and Zhao, Zhiyan and Zhang, Yilei and Duan, Manni and Qi, Donglian and Zhao, Hengshuang},
  title     = {{FocalClick}: Towards Practical Interactive Image Segmentation},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2022},
}"""  # noqa: E501


class FocalClick(Method):
    """FocalClick's predictor as its evaluator sets it up.

    Args:
        repository: A checkout of github.com/XavierCHEN34/ClickSEG.
        checkpoint: An official FocalClick checkpoint.
        size: Side of the network's input, for the target crop and for the focus crop.
        threshold: A pixel is in the mask where its probability is above it.
        target_ratio: The target crop is the mask's box so much larger.
        focus_ratio: The focus crop is the changed region's box so much larger.
        flip: Average with the mirrored image.
        trust_checkpoint: Unpickle a file that safe loading refuses, which can run any code that it holds.
        random_weights: The checkpoint is not trained (for tests).
    """

    name = "focalclick"
    source = "https://arxiv.org/abs/2204.02574"
    licence = "Apache-2.0 (code)"
    training_data = "COCO+LVIS, SBD or eight data sets, as the checkpoint's name says"
    accepts = ("click",)
    uses_previous = True
    family = "iterative"
    citation = _CITATION

    def __init__(
        self,
        repository,
        checkpoint,
        size=256,
        threshold=0.5,
        target_ratio=1.4,
        focus_ratio=1.4,
        flip=False,
        trust_checkpoint=False,
        random_weights=False,
    ):
        use_repository(repository)
        from isegm.inference.predictors import get_predictor
        from isegm.utils.serialization import load_model

        self.device = chosen_device()
        content = load(checkpoint, trust_checkpoint)
        model = load_model(content["config"])
        ready(model, content["state_dict"], self.device)
        self.threshold = threshold
        self.predictor = get_predictor(
            model,
            "FocalClick",
            self.device,
            prob_thresh=threshold,
            infer_size=size,
            focus_crop_r=focus_ratio,
            with_flip=flip,
            zoom_in_params={"target_size": 400, "expansion_ratio": target_ratio},
        )
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        self.weights_sha256 = sha256(checkpoint)
        self.random_weights = random_weights
        self.image_size = size
        self.settings = {
            "size": size,
            "threshold": threshold,
            "target_ratio": target_ratio,
            "focus_ratio": focus_ratio,
            "flip": flip,
        }

    def segment(self, request):
        """Restore the predictor to where it was after the chosen mask, and let it go on."""
        return continued(self.predictor, self.predictor.transforms[0], request, self.threshold)


if __name__ == "__main__":
    serve(FocalClick)
