"""Runs a repository's own evaluation loop on a random network, and keeps what it did.

    python recipe_reference.py simpleclick|focalclick-hrnet|focalclick-segformer REPOSITORY FOLDER

Writes FOLDER/weights.pth in the official format, and FOLDER/played.npz: image, clicks, probabilities.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

which, repository, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
sys.path.insert(0, repository)
for name, kind in (("int", int), ("float", float), ("bool", bool)):
    if name not in vars(np):
        setattr(np, name, kind)

STEPS = 13


def build():
    """Return a random network of an official architecture."""
    torch.manual_seed(3)
    if which == "simpleclick":
        from isegm.model.is_plainvit_model import PlainVitModel
        from isegm.model.modeling.transformer_helper.cross_entropy_loss import CrossEntropyLoss

        backbone = {"img_size": (448, 448), "patch_size": (16, 16), "in_chans": 3, "embed_dim": 160}
        backbone |= {"depth": 8, "num_heads": 4, "mlp_ratio": 4, "qkv_bias": True}
        widths = [96, 192, 288, 384]
        head = {"in_channels": widths, "in_index": [0, 1, 2, 3], "dropout_ratio": 0.1, "num_classes": 1}
        head |= {"loss_decode": CrossEntropyLoss(), "align_corners": False, "upsample": "x1", "channels": 128}
        return PlainVitModel(
            use_disks=True,
            norm_radius=5,
            with_prev_mask=True,
            backbone_params=backbone,
            neck_params={"in_dim": 160, "out_dims": widths},
            head_params=head,
            random_split=False,
        )
    shared = {
        "pipeline_version": "s2",
        "with_aux_output": True,
        "use_leaky_relu": True,
        "use_rgb_conv": False,
    }
    shared |= {"use_disks": True, "norm_radius": 5, "with_prev_mask": True}
    if which == "focalclick-hrnet":
        from isegm.model.is_hrnet_model import HRNetModel

        return HRNetModel(width=18, ocr_width=48, small=True, **shared)
    from isegm.model.is_segformer_model import SegFormerModel

    return SegFormerModel(model_version="b0", binary_prev_mask=False, **shared)


def balance(model, predict):
    """Scale, then shift, the last layers until about half of the pixels are above one half."""
    ends = [
        module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Conv2d) and module.out_channels == 1 and module.bias is not None
        if "trimap" not in name and "gate" not in name
    ]
    for turn in range(9):
        logits = predict()
        for end in ends:
            end.bias.data -= float(np.median(logits))
            if turn < 4:
                end.weight.data *= float(np.clip(1.5 / (logits.std() + 1e-6), 0.25, 4))


def main():
    """Play one case with the repository's own loop."""
    from isegm.inference.clicker import Click, Clicker
    from isegm.inference.evaluation import evaluate_sample
    from isegm.inference.predictors import get_predictor

    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[:150, :200]
    truth = ((rows - 80) ** 2 / 900 + (columns - 90) ** 2 / 1600 < 1).astype(np.int32)
    texture = rng.integers(0, 60, (150, 200, 3))
    image = (truth[..., None] * 90 + 40 + texture).astype(np.uint8)

    model = build()
    model.eval().requires_grad_(False)
    if which == "simpleclick":
        from isegm.model.modeling.pos_embed import interpolate_pos_embed_inference

        interpolate_pos_embed_inference(model.backbone, (448, 448), torch.device("cpu"))
        zoom, threshold, mode, more = {"skip_clicks": -1, "target_size": (448, 448)}, 0.49, "NoBRS", {}
    else:
        zoom, threshold, mode = {"target_size": 400, "expansion_ratio": 1.4}, 0.5, "FocalClick"
        more = {"infer_size": 256, "focus_crop_r": 1.4, "with_flip": False}

    def fresh():
        cpu = torch.device("cpu")
        return get_predictor(model, mode, cpu, prob_thresh=threshold, zoom_in_params=dict(zoom), **more)

    def first_logits():
        predictor = fresh()
        with torch.no_grad():
            predictor.set_input_image(image)
            chances = predictor.get_prediction(Clicker(init_clicks=[Click(True, (80, 90))]))
        chances = np.clip(chances, 1e-6, 1 - 1e-6)
        return np.log(chances / (1 - chances))

    balance(model, first_logits)
    played = []

    def keep(image, gt_mask, probabilities, sample_id, index, clicks):
        played.append(np.array(probabilities, dtype=np.float32))

    common = {"max_iou_thr": 1.01, "pred_thr": threshold, "max_clicks": STEPS, "callback": keep}
    if which == "simpleclick":
        clicks, _, _ = evaluate_sample(image, truth, fresh(), **common)
    else:
        clicks, _, _ = evaluate_sample(image, truth, None, fresh(), vis=False, **common)
    torch.save({"state_dict": model.state_dict(), "config": model._config}, folder / "weights.pth")
    where = [[int(c.coords[1]), int(c.coords[0]), int(c.is_positive)] for c in clicks]
    np.savez(
        folder / "played.npz", image=image, truth=truth == 1, clicks=where, probabilities=np.stack(played)
    )


if __name__ == "__main__":
    main()
