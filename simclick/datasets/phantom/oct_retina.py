"""Optical coherence tomography of the macula: retinal layers, fluid-filled cysts, drusen."""

from __future__ import annotations

import numpy as np

from simclick.datasets.phantom.exact import Field, exp, log
from simclick.datasets.phantom.fields import Frame, blur, clip01, paint, ramp
from simclick.datasets.phantom.shapes import Mask, blob, ellipse, roughen
from simclick.datasets.phantom.study import Family, Picture, Study, grey

__all__ = ["OCT_RETINA"]

# Layers from the vitreous down: where each ends as a share of the retina, and how bright it is.
_LAYERS = (
    (0.13, 1.9),  # nerve fibres
    (0.24, 0.8),  # ganglion cells
    (0.36, 1.2),  # inner plexiform
    (0.47, 0.36),  # inner nuclear
    (0.54, 1.1),  # outer plexiform
    (0.76, 0.27),  # outer nuclear
    (0.785, 0.9),  # limiting membrane
    (0.84, 0.55),  # inner segments
    (0.885, 2.6),  # ellipsoid zone
    (0.925, 0.9),  # outer segments
    (1.0, 3.4),  # pigment epithelium
)


class _Retina:
    """One scan in units of reflected light."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.frame = frame = Frame.of(study.size * 3 // 4, study.size * 5 // 4)
        self.light: Field = np.full(frame.shape, 0.03)
        # Each slice lies a little further from the middle of the pit.
        self.pit_x = study.number("pit", -0.25, 0.25)
        across = (frame.x - self.pit_x) * (1.0 / study.number("pit width", 0.3, 0.38))
        off = 0.7 * study.depth
        self.pit = exp(-0.5 * (across * across + off * off))
        bowl = (
            study.number("bowl", -0.07, 0.05) * frame.x * frame.x
            + study.number("tilt", -0.07, 0.07) * frame.x
        )
        wave = 0.02 * study.field("wave", frame, 1.6)[:1]
        self.floor = 0.38 + bowl + wave
        self.thick = study.number("thickness", 0.72, 0.84) * (1.0 - 0.12 * frame.x * frame.x)

    def _drusen(self) -> Field:
        chance = self.study.of_patient("drusen")
        rise: Field = np.zeros((1, self.frame.shape[1]))
        for _ in range(5):
            width, height = chance.between(0.035, 0.09), chance.between(0.03, 0.1)
            offset = (self.frame.x - chance.between(-1.15, 1.15)) * (1.0 / width)
            rise = rise + height * exp(-0.5 * offset * offset)
        return rise

    def layers(self) -> Mask:
        """Paint vitreous, retina, choroid and sclera; return the mask of the nerve fibre layer."""
        study, frame, light = self.study, self.frame, self.light
        lift = self._drusen()
        base = self.floor - 0.5 * lift
        # The pit takes away the inner layers: the retina's top sinks while its lower part stays.
        top = self.floor - self.thick * (1.0 - 0.52 * self.pit)
        outer_top = self.floor - self.thick * 0.46
        share = np.where(
            frame.y < outer_top,
            0.54 * (frame.y - top) / np.maximum(outer_top - top, 1e-3),
            0.54 + 0.46 * (frame.y - outer_top) / (base - outer_top),
        )
        shares = share + 0.012 * study.field("layer waves", frame, 5.0) * ramp(share, 0.9, 0.4)
        fibre_rag = study.of_patient("fibre rag").smooth(frame, 24.0, 2)
        for end, value in reversed(_LAYERS[1:]):
            paint(light, (shares < end) & (shares > 0.0), value)
        c = study.contrast["nerve-fibres"]
        fade = 0.3 + 0.7 * ramp(np.abs(frame.x - self.pit_x), 0.15, 0.7)
        fibre_end = 0.06 + 0.12 * fade * (1.0 + 0.3 * (frame.x - self.pit_x))
        fibres = roughen(shares - fibre_end, fibre_rag, study.raggedness["nerve-fibres"], 0.07)
        mask = (fibres < 0.0) & (shares > 0.0)
        self._deep(base)
        paint(light, mask, 0.85 + 1.7 * c)
        self.share, self.base = share, base
        self._drusen_fill(lift)
        return mask

    def _deep(self, base: Field) -> None:
        study, frame, light = self.study, self.frame, self.light
        choroid = study.number("choroid", 0.26, 0.36)
        below = frame.y - base
        lumens = study.field("lumens", frame, 10.0, 2)
        deep = 0.8 * exp(-2.2 * np.maximum(below, 0.0)) * (1.05 - 0.8 * ramp(lumens, -0.1, 0.7))
        edge = choroid + 0.03 * study.field("choroid edge", frame, 4.0)
        deep = np.where(below > edge, 0.6 * exp(-3.4 * np.maximum(below - 0.1, 0.0)), deep)
        paint(light, below > 0.0, deep)

    def _drusen_fill(self, lift: Field) -> None:
        below = self.frame.y - self.base
        paint(self.light, (below > 0.0) & (below < 0.5 * lift), 0.75)
        paint(self.light, np.abs(below - 0.5 * lift) < 0.006, 1.5)

    def fluid(self) -> Mask:
        """Paint dark cysts in the nuclear layers about the pit; return their mask."""
        study, frame = self.study, self.frame
        chance = study.of_patient("cysts")
        mask: Mask = np.zeros(frame.shape, dtype=np.bool_)
        ragged = study.raggedness["fluid"]
        shrink = 1.0 - 0.3 * study.depth
        for k in range(9):
            x = self.pit_x + chance.between(-0.42, 0.42)
            depth = 0.4 if k % 3 == 0 else 0.63
            column = int(np.searchsorted(frame.x[0], x).item())
            column = min(column, frame.shape[1] - 1)
            row = int(np.searchsorted(self.share[:, column], depth + chance.between(-0.04, 0.04)).item())
            y = float(frame.y[min(row, frame.shape[0] - 1), 0])
            radius = chance.between(0.05, 0.1) * shrink
            level = blob(frame, x, y, radius, chance, 0.2, ragged, chance.between(0.7, 1.3))
            mask |= level < 0.0
        mask &= (self.share > 0.26) & (self.share < 0.76)
        dark = 0.3 - 0.28 * study.contrast["fluid"]
        rim = blur(mask.astype(np.float64), 1.2)
        self.light += 0.35 * ramp(rim, 0.05, 0.4) * ~mask * (self.share < 0.8)
        paint(self.light, mask, dark)
        return mask

    def scan(self) -> Field:
        """Return grey values: vessel shadows, speckle, logarithmic compression."""
        study, frame = self.study, self.frame
        chance = study.of_patient("vessel shadows")
        shade: Field = np.ones((1, frame.shape[1]))
        for _ in range(6):
            x, width = chance.between(-1.2, 1.2), chance.between(0.008, 0.02)
            if abs(x - self.pit_x) > 0.35:
                shade = shade * (1.0 - 0.5 * ramp(np.abs(frame.x - x), width + 0.012, width))
                dot = ellipse(frame, x, float(self._surface(x)) + 0.055, width * 1.1, 0.028)
                paint(self.light, dot < 0.0, 2.4)
        light = self.light * np.where(self.share > 0.12, shade, 1.0)
        light = light * exp(0.12 * study.field("gain", frame, 2.0))
        light = blur(light, 0.7 * study.size / 256, 0.9)
        grain = study.of_slice("speckle")
        real, imaginary = grain.gaussian(*frame.shape), grain.gaussian(*frame.shape)
        real, imaginary = blur(real, 0.45, 0.75) * 1.9, blur(imaginary, 0.45, 0.75) * 1.9
        power = 0.5 * (real * real + imaginary * imaginary)
        amount = 0.2 + 0.38 * study.noise
        floor = 0.012 + 0.022 * study.noise
        seen = light * np.maximum(1.0 - amount + amount * power, 0.02) + floor * power
        return clip01((log(np.maximum(seen, 1e-4)) + 3.3) * (1.0 / 5.0))

    def _surface(self, x: float) -> float:
        column = min(int(np.searchsorted(self.frame.x[0], x).item()), self.frame.shape[1] - 1)
        row = int(np.searchsorted(self.share[:, column], 0.0).item())
        return float(self.frame.y[min(row, self.frame.shape[0] - 1), 0])


def _draw(study: Study) -> Picture:
    retina = _Retina(study)
    fibres = retina.layers()
    fluid = retina.fluid()
    image = grey(retina.scan())
    down = round(study.number("depth of field", 1.5, 1.9) / image.shape[0], 5)
    across = round(study.number("width", 5.5, 6.5) / image.shape[1], 5)
    return Picture(image, {"nerve-fibres": fibres & ~fluid, "fluid": fluid}, (down, across))


OCT_RETINA = Family(
    "oct-retina",
    "oct",
    {"nerve-fibres": "retinal nerve fibre layer", "fluid": "fluid in the retina"},
    _draw,
)
