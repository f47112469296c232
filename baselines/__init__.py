"""Methods under test: one file each, and the table that names them."""

from __future__ import annotations

from simclick.prompts import KINDS
from simclick.registry import Entry

__all__ = ["AGENTS", "RECIPES"]

_SAM = ("torch", "torchvision", "segment_anything")
_CLICK = ("click",)
_BOX = ("box",)
_BOTH = ("click", "box")
_ALL = ("click", "box", "everything")

AGENTS: dict[str, Entry] = {
    "oracle": Entry(
        "simclick.baselines.sanity:Oracle", "the truth itself: the ceiling, never ranked", accepts=KINDS
    ),
    "empty": Entry("simclick.baselines.sanity:Empty", "always the empty mask: the floor", accepts=KINDS),
    "copy-previous": Entry(
        "simclick.baselines.sanity:CopyPrevious", "the previous mask, unchanged", accepts=KINDS
    ),
    "disc": Entry(
        "simclick.baselines.sanity:Disc",
        "a disc around each click: what a click alone gives away",
        accepts=_BOTH,
    ),
    "grabcut": Entry(
        "simclick.baselines.grabcut:GrabCut", "colour mixtures and graph cut (OpenCV)", accepts=_BOTH
    ),
    "random-walker": Entry(
        "simclick.baselines.random_walker:RandomWalker",
        "random walks from the clicks (scikit-image)",
        accepts=_BOTH,
    ),
    "geodesic": Entry(
        "simclick.baselines.geodesic:Geodesic", "shortest paths along flat grey (scikit-image)", accepts=_BOTH
    ),
    "watershed": Entry(
        "simclick.baselines.watershed:Watershed", "flooding from the clicks (scikit-image)", accepts=_BOTH
    ),
    "graph-cut": Entry(
        "simclick.baselines.graph_cut:GraphCut",
        "minimum cut between click seeds (SciPy, or PyMaxflow)",
        accepts=_BOTH,
    ),
    "pocket-sam": Entry(
        "simclick.baselines.pocket.sam:PocketSam",
        "Segment Anything's classes, small; trained on generated images; weights in the wheel",
        _SAM,
        extra="sam",
        accepts=_ALL,
    ),
    "pocket-click": Entry(
        "simclick.baselines.pocket.click:PocketClick",
        "a small click network after RITM; trained on generated images; weights in the wheel",
        ("torch", "segment_anything"),
        extra="sam",
        accepts=_BOTH,
    ),
    "pocket-sam-onnx": Entry(
        "simclick.baselines.pocket.sam_onnx:PocketSamOnnx",
        "pocket-sam without torch",
        ("onnxruntime",),
        extra="onnx",
        accepts=_BOTH,
    ),
    "pocket-click-onnx": Entry(
        "simclick.baselines.pocket.click:PocketClickOnnx",
        "pocket-click without torch",
        ("onnxruntime",),
        extra="onnx",
        accepts=_BOTH,
    ),
    "sam_vit_b": Entry(
        "simclick.baselines.sam.official:SamVitB",
        "Segment Anything, ViT-B",
        _SAM,
        extra="sam",
        accepts=_ALL,
        checkpoint="sam_vit_b",
    ),
    "sam_vit_l": Entry(
        "simclick.baselines.sam.official:SamVitL",
        "Segment Anything, ViT-L",
        _SAM,
        extra="sam",
        accepts=_ALL,
        checkpoint="sam_vit_l",
    ),
    "sam_vit_h": Entry(
        "simclick.baselines.sam.official:SamVitH",
        "Segment Anything, ViT-H",
        _SAM,
        extra="sam",
        accepts=_ALL,
        checkpoint="sam_vit_h",
    ),
    "sam_med2d": Entry(
        "simclick.baselines.sam.med2d:SamMed2d",
        "SAM-Med2D: Segment Anything at 256 pixels with adapters, trained on medical images",
        _SAM,
        extra="sam",
        accepts=_BOTH,
        checkpoint="sam_med2d",
    ),
    "medsam": Entry(
        "simclick.baselines.sam.medsam:MedSam",
        "MedSAM: Segment Anything trained on medical images; a box, one mask",
        _SAM,
        extra="sam",
        accepts=_BOX,
        checkpoint="medsam",
    ),
    "ritm": Entry(
        "simclick.baselines.ritm.agent:Ritm",
        "RITM: clicks and the previous mask, by torch.hub",
        ("torch", "torchvision", "ritm_annotation"),
        extra="ritm",
        accepts=_CLICK,
        checkpoint="ritm_h18_itermask",
    ),
    "process": Entry(
        "simclick.baselines.process.agent:ProcessAgent",
        "any method in a process of its own: agent.command='python my_method.py'",
        ("msgpack",),
        extra="process",
    ),
    "custom": Entry("simclick.agent:Agent", "your own class: agent.target=my_module:MyAgent"),
}

RECIPES: dict[str, Entry] = {
    "simpleclick": Entry("docs/agents-out-of-process.md", "SimpleClick: clicks, plain ViT", accepts=_CLICK),
    "focalclick": Entry(
        "docs/agents-out-of-process.md", "FocalClick: clicks, focus crops around the last one", accepts=_CLICK
    ),
}
"""Methods that run in an environment of their own, through `process`; the page says how."""
