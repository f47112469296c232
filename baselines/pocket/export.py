"""Writing what the wheel holds: half-precision safetensors, and ONNX graphs without weights."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any, cast

import torch
from segment_anything.modeling import Sam
from torch import Tensor, nn

from simclick.baselines.pocket.networks import CLICK_SIDE, SAM_SIDE, ClickNet, pocket_sam
from simclick.baselines.pocket.sam_task import decode_many

__all__ = ["SamDecoder", "save_graphs", "save_weights"]

_OPSET = 17
_PREFIX = "w::"


def save_weights(state: dict[str, Tensor], path: Path) -> None:
    """Write a state dict as a safetensors file of half-precision numbers, whole or not at all."""
    from safetensors.torch import save_file

    halves = {key: tensor.detach().cpu().to(torch.float16).contiguous() for key, tensor in state.items()}
    temporary = path.with_suffix(".part")
    save_file(halves, temporary, metadata={"format": "pt", "made by": f"simclick train {path.stem}"})
    temporary.replace(path)


class SamDecoder(nn.Module):
    """SAM's prompt encoder and mask decoder as one graph; boxes are points of labels 2 and 3.

    Inputs: ``features`` Float[1, C, h, w]; ``points`` Float[B, N, 2] in the encoder's frame; ``labels``
    Float[B, N] (1 object, 0 background, -1 padding, 2 and 3 a box's corners); ``mask`` Float[B, 1, 4h, 4w]
    and
    ``has_mask`` Float[B]. Outputs: logits Float[B, 4, 4h, 4w], predicted IoU Float[B, 4].
    """

    def __init__(self, sam: Sam) -> None:
        super().__init__()
        self.sam = sam

    def forward(
        self, features: Tensor, points: Tensor, labels: Tensor, mask: Tensor, has_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return logits and predicted IoU."""
        prompt = self.sam.prompt_encoder
        side = float(prompt.input_image_size[0])
        sparse = prompt.pe_layer._pe_encoding((points + 0.5) / side)
        kinds = labels[..., None]
        sparse = sparse * (kinds != -1) + prompt.not_a_point_embed.weight * (kinds == -1)
        for number, embedding in enumerate(prompt.point_embeddings):
            sparse = sparse + embedding.weight * (kinds == number)
        given = has_mask.reshape(-1, 1, 1, 1)
        none = prompt.no_mask_embed.weight.reshape(1, -1, 1, 1)
        dense = given * prompt.mask_downscaling(mask) + (1 - given) * none
        return decode_many(self.sam, features.expand(dense.shape[0], -1, -1, -1), sparse, dense)


def save_graphs(folder: Path) -> list[Path]:
    """Write the graphs of both agents; needs the packages onnx and onnxscript (extra ``train``)."""
    sam = pocket_sam().eval()
    grid = sam.prompt_encoder.image_embedding_size
    channels = sam.prompt_encoder.embed_dim
    decoder_inputs = (
        torch.zeros(1, channels, *grid),
        torch.zeros(2, 3, 2),
        torch.zeros(2, 3),
        torch.zeros(2, 1, 4 * grid[0], 4 * grid[1]),
        torch.zeros(2),
    )
    batch = {0: "batch"}
    made = [
        _graph(
            ClickNet().eval(),
            (torch.zeros(2, ClickNet.planes, CLICK_SIDE, CLICK_SIDE),),
            {"planes": batch},
            {"logits": batch},
            "",
        ),
        _graph(
            sam.image_encoder,
            (torch.zeros(1, 3, SAM_SIDE, SAM_SIDE),),
            {"pixels": {}},
            {"features": {}},
            "image_encoder.",
        ),
        _graph(
            SamDecoder(sam).eval(),
            decoder_inputs,
            {
                "features": {},
                "points": {0: "batch", 1: "points"},
                "labels": {0: "batch", 1: "points"},
                "mask": batch,
                "has_mask": batch,
            },
            {"logits": batch, "iou": batch},
            "",
            strip="sam.",
        ),
    ]
    paths = []
    names = ("pocket-click.onnx", "pocket-sam-encoder.onnx", "pocket-sam-decoder.onnx")
    for name, content in zip(names, made, strict=True):
        (folder / name).write_bytes(content)
        paths.append(folder / name)
    return paths


def _graph(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    names: dict[str, dict[int, str]],
    outputs: dict[str, dict[int, str]],
    prefix: str,
    strip: str = "",
) -> bytes:
    """Return a model's graph whose weights are external initialisers ``w::NAME``."""
    import onnx

    # The exporter merges initialisers of equal values, such as the ones of fresh norms.
    generator = torch.Generator().manual_seed(0)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator))
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing tells of every shape that it fixes
        torch.onnx.export(
            model,
            inputs,
            cast(Any, buffer),
            input_names=list(names),
            output_names=list(outputs),
            dynamic_axes={name: axes for name, axes in {**names, **outputs}.items() if axes},
            opset_version=_OPSET,
            do_constant_folding=False,
            dynamo=False,
        )
    proto = onnx.load_from_string(buffer.getvalue())
    own = set(model.state_dict())
    renamed = {}
    for tensor in proto.graph.initializer:
        if tensor.name in own:
            own.discard(tensor.name)
            renamed[tensor.name] = _PREFIX + prefix + tensor.name.removeprefix(strip)
            tensor.name = renamed[tensor.name]
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="weights")
    used = {name for node in proto.graph.node for name in node.input}
    lost = [name for name in own if name in used]
    if lost:
        raise RuntimeError(f"the graph lost the weights {', '.join(lost[:3])}")
    for node in proto.graph.node:
        node.doc_string = ""
        for k, name in enumerate(node.input):
            node.input[k] = renamed.get(name, name)
    proto.producer_version = ""
    return bytes(proto.SerializeToString(deterministic=True))
