"""Simulated annotators, and noise on their prompts."""

from __future__ import annotations

from simclick.annotators.base import Annotator, History, Noise
from simclick.registry import Entry

__all__ = ["ANNOTATORS", "NOISES", "Annotator", "History", "Noise"]

ANNOTATORS: dict[str, Entry] = {
    "center-click": Entry(
        "simclick.annotators.clicks:CenterClick",
        "middle of the largest error by distance to its border: RITM's rule, the field's NoC",
    ),
    "center-click-diverse": Entry(
        "simclick.annotators.clicks:CenterClickDiverse",
        "the same, never near an earlier click and with ties broken to the middle (recommended)",
    ),
    "random-click": Entry(
        "simclick.annotators.clicks:RandomClick",
        "any wrong pixel, each as likely as another",
    ),
    "largest-component-click": Entry(
        "simclick.annotators.clicks:LargestComponentClick",
        "middle of the wrong region with the largest area",
    ),
    "tight-box": Entry(
        "simclick.annotators.boxes:TightBox",
        "the tight box of the object, once",
    ),
    "box-then-click": Entry(
        "simclick.annotators.boxes:BoxThenClick",
        "the tight box of the object, then center-click corrections",
    ),
    "scribbleprompt-click": Entry(
        "simclick.annotators.scribbleprompt:ScribblePromptClick",
        "ScribblePrompt's clicks: middle of the largest error without border, or any wrong pixel",
    ),
    "line-scribble": Entry(
        "simclick.annotators.scribbles:LineScribble",
        "a bent line between two pixels of the largest error",
    ),
    "centerline-scribble": Entry(
        "simclick.annotators.scribbles:CenterlineScribble",
        "a broken, bent scribble along the middle of the largest error",
    ),
    "contour-scribble": Entry(
        "simclick.annotators.scribbles:ContourScribble",
        "a broken, bent scribble along a contour inside the largest error",
    ),
    "clickability": Entry(
        "simclick.annotators.people:Clickability",
        "a click drawn from a map of depth; RClicks' groups; limits of perception and of the hand",
    ),
    "recorded": Entry(
        "simclick.annotators.recorded:Recorded",
        "prompts of a log: of a run, or people's scribbles (needs annotator_options.path)",
    ),
    "mazurowski-xor": Entry(
        "simclick.annotators.mazurowski:MazurowskiXor",
        "middle of the merged error, ties at random (Mazurowski et al.)",
    ),
    "micro-sam": Entry(
        "simclick.annotators.micro_sam:MicroSam",
        "a box or a point, then a positive and a negative click a round, at random (micro-sam)",
    ),
    "radioactive": Entry(
        "simclick.annotators.radioactive:RadioActive",
        "adds or removes in proportion to the errors: a centroid, or a click on a contour (RadioActive)",
    ),
    "cvpr25": Entry(
        "simclick.annotators.cvpr25:Cvpr25",
        "a box, then the middle of the largest region of the merged error (CVPR 2025 challenge)",
    ),
    "medsam-box": Entry(
        "simclick.annotators.peer_boxes:MedSamBox",
        "the tight box grown by 20 pixels of 1024 on every side, once (MedSAM's SAM baseline)",
    ),
    "sam-hq-box": Entry(
        "simclick.annotators.peer_boxes:SamHqBox",
        "the tight box, its centre and size disturbed if asked, once (SAM-HQ)",
    ),
    "cosmos-everything": Entry(
        "simclick.annotators.cosmos:CosmosEverything", "COSMOS S1: segment everything, pick one"
    ),
    "cosmos-points": Entry(
        "simclick.annotators.cosmos:CosmosPoints", "COSMOS S2 to S4: 1, 5 or 5 + 5 points at once"
    ),
    "cosmos-box-point": Entry(
        "simclick.annotators.cosmos:CosmosBoxPoint", "COSMOS S6: the tight box and one point at once"
    ),
    "sam-med2d-box": Entry(
        "simclick.annotators.sam_med2d:SamMed2dBox",
        "SAM-Med2D: box of the largest component, jittered or not",
    ),
    "sam-med2d-points": Entry(
        "simclick.annotators.sam_med2d:SamMed2dPoints", "SAM-Med2D: a random point, then random corrections"
    ),
    "sam-med2d-box-points": Entry(
        "simclick.annotators.sam_med2d:SamMed2dBoxPoints", "SAM-Med2D: the box, then random corrections"
    ),
}

NOISES: dict[str, Entry] = {
    "gaussian-click": Entry(
        "simclick.annotators.noise_clicks:GaussianClick",
        "clicks move by a normal displacement; level: standard deviation per axis",
    ),
    "uniform-disc-click": Entry(
        "simclick.annotators.noise_clicks:UniformDiscClick",
        "clicks land anywhere in a disc around where they were meant; level: its radius",
    ),
    "ring-click": Entry(
        "simclick.annotators.noise_clicks:RingClick",
        "clicks move by a distance in a ring, as COSMOS's 10-20 pixels; level: its outer radius",
    ),
    "heavy-tailed-click": Entry(
        "simclick.annotators.noise_clicks:HeavyTailedClick",
        "clicks move by Student's t, now and then far; level: its scale",
    ),
    "anisotropic-click": Entry(
        "simclick.annotators.noise_clicks:AnisotropicClick",
        "clicks move further along one axis than across; level: standard deviation along it",
    ),
    "box-edges": Entry(
        "simclick.annotators.noise_boxes:BoxEdges",
        "each edge of a box moves alone, in or out; level: the most it moves",
    ),
    "box-shift": Entry(
        "simclick.annotators.noise_boxes:BoxShift",
        "boxes move as a whole; level: the most they move along each axis",
    ),
    "box-grow": Entry(
        "simclick.annotators.noise_boxes:BoxGrow",
        "edges of boxes move outwards; level: the most they move",
    ),
    "box-shrink": Entry(
        "simclick.annotators.noise_boxes:BoxShrink",
        "edges of boxes move inwards, one pixel is always left; level: the most they move",
    ),
    "box-scale": Entry(
        "simclick.annotators.noise_boxes:BoxScale",
        "boxes are scaled about their centre; level: the most their sides change, as a share",
    ),
    "box-ring": Entry(
        "simclick.annotators.noise_boxes:BoxRing",
        "boxes or edges move by a distance in a ring, as COSMOS's 10-20 pixels; level: the most",
    ),
    "scribble-wobble": Entry(
        "simclick.annotators.noise_scribbles:ScribbleWobble",
        "scribbles waver smoothly; level: standard deviation per axis",
    ),
    "scribble-width": Entry(
        "simclick.annotators.noise_scribbles:ScribbleWidth",
        "points of scribbles spread across the stroke; level: width of the band",
    ),
    "scribble-breaks": Entry(
        "simclick.annotators.noise_scribbles:ScribbleBreaks",
        "scribbles start late and break off early; level: share of the length that is lost",
    ),
    "wrong-label": Entry(
        "simclick.annotators.noise_labels:WrongLabel",
        "clicks and scribbles get the other label; level: probability",
    ),
    "off-target-click": Entry(
        "simclick.annotators.noise_labels:OffTargetClick",
        "clicks land on any pixel, or any within a radius; level: probability",
    ),
}
