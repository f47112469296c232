"""Methods under test: one file each, and the table that names them."""

from __future__ import annotations

from simclick.registry import Entry

__all__ = ["AGENTS"]

_SAM = ("torch", "torchvision", "segment_anything")

AGENTS: dict[str, Entry] = {
    "oracle": Entry("simclick.baselines.sanity:Oracle", "the truth itself: the ceiling, never ranked"),
    "empty": Entry("simclick.baselines.sanity:Empty", "always the empty mask: the floor"),
    "copy-previous": Entry("simclick.baselines.sanity:CopyPrevious", "the previous mask, unchanged"),
    "disc": Entry(
        "simclick.baselines.sanity:Disc", "a disc around each click: what a click alone gives away"
    ),
    "grabcut": Entry("simclick.baselines.grabcut:GrabCut", "colour mixtures and graph cut (OpenCV)"),
    "random-walker": Entry(
        "simclick.baselines.random_walker:RandomWalker", "random walks from the clicks (scikit-image)"
    ),
    "geodesic": Entry(
        "simclick.baselines.geodesic:Geodesic", "shortest paths along flat grey (scikit-image)"
    ),
    "watershed": Entry("simclick.baselines.watershed:Watershed", "flooding from the clicks (scikit-image)"),
    "graph-cut": Entry(
        "simclick.baselines.graph_cut:GraphCut", "minimum cut between click seeds (SciPy, or PyMaxflow)"
    ),
    "pocket-sam": Entry(
        "simclick.baselines.pocket.sam:PocketSam",
        "Segment Anything's classes, small; trained on generated images; weights in the wheel",
        _SAM,
        extra="sam",
    ),
    "pocket-click": Entry(
        "simclick.baselines.pocket.click:PocketClick",
        "a small click network after RITM; trained on generated images; weights in the wheel",
        ("torch", "segment_anything"),
        extra="sam",
    ),
    "pocket-sam-onnx": Entry(
        "simclick.baselines.pocket.sam_onnx:PocketSamOnnx",
        "pocket-sam without torch",
        ("onnxruntime",),
        extra="onnx",
    ),
    "pocket-click-onnx": Entry(
        "simclick.baselines.pocket.click:PocketClickOnnx",
        "pocket-click without torch",
        ("onnxruntime",),
        extra="onnx",
    ),
    "sam_vit_b": Entry(
        "simclick.baselines.sam.official:SamVitB", "Segment Anything, ViT-B", _SAM, extra="sam"
    ),
    "sam_vit_l": Entry(
        "simclick.baselines.sam.official:SamVitL", "Segment Anything, ViT-L", _SAM, extra="sam"
    ),
    "sam_vit_h": Entry(
        "simclick.baselines.sam.official:SamVitH", "Segment Anything, ViT-H", _SAM, extra="sam"
    ),
    "custom": Entry("simclick.agent:Agent", "your own class: agent.target=my_module:MyAgent"),
}
