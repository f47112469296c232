"""Fluorescence microscopy: stained nuclei, some touching, and a mitosis, over faint cell bodies."""

from __future__ import annotations

import numpy as np

from simclick.datasets.phantom.exact import Field, cos_turns, sin_turns
from simclick.datasets.phantom.fields import Frame, blur, ramp
from simclick.datasets.phantom.shapes import Mask, blob, ellipse, roughen, window
from simclick.datasets.phantom.study import Family, Picture, Study, colour

__all__ = ["NUCLEI"]


class _Culture:
    """One focal plane through a field of cells, as the expected light of two stains."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.frame = frame = Frame.of(study.size, study.size)
        self.radius = study.number("radius", 0.095, 0.125)
        self.count = 26 + study.of_patient("count").below(14)
        self.stain: Field = np.zeros(frame.shape)
        self.body: Field = np.zeros(frame.shape)
        self.chromatin = study.field("chromatin", frame, 30.0, 2)
        self.fibres = study.field("fibres", frame, 16.0, 2)

    def cells(self) -> tuple[Mask, Mask]:
        """Paint the nuclei and one mitosis; return the masks of all nuclei and of the mitosis."""
        study, frame = self.study, self.frame
        chance = study.of_patient("cells")
        frayed = study.of_patient("nucleus rag").smooth(frame, 34.0, 2)
        rough = study.raggedness["nuclei"]
        c = 0.15 + 0.85 * study.contrast["nuclei"]
        nuclei: Mask = np.zeros(frame.shape, dtype=np.bool_)
        places = [(chance.between(-0.5, 0.5), chance.between(-0.5, 0.5))]
        mitosis = self._mitosis(places[0])
        for _ in range(self.count * 3):
            if len(places) > self.count:
                break
            x, y = chance.between(-1.04, 1.04), chance.between(-1.04, 1.04)
            crowd = min((x - a) * (x - a) + (y - b) * (y - b) for a, b in places)
            reach = 1.6 * self.radius
            if crowd < reach * reach:
                continue
            places.append((x, y))
            nuclei |= self._nucleus(len(places), x, y, frayed * rough, c)
        return nuclei | mitosis, mitosis

    def _nucleus(self, number: int, x: float, y: float, frayed: Field, c: float) -> Mask:
        study = self.study
        own = study.of_patient("nucleus", number)
        # A nucleus is widest at its own depth.
        r = self.radius * own.between(0.8, 1.2) * (1.0 - 0.3 * abs(study.depth - own.between(0.0, 1.0)))
        squash, turn = own.between(0.65, 1.0), own.between(0.0, 1.0)
        rows, columns, near = window(self.frame, x, y, 3.2 * self.radius)
        level = blob(near, x, y, r, own, 0.15, 0.0, squash, turn) + 0.028 * frayed[rows, columns]
        inner = 0.85 + 0.15 * self.chromatin[rows, columns] + 0.15 * ramp(level, -0.03, -0.005)
        inner = inner * (own.between(0.55, 1.0) * c)
        for _ in range(1 + own.below(3)):
            nx = x + r * own.between(-0.4, 0.4)
            ny = y + r * squash * own.between(-0.4, 0.4)
            spot = ellipse(near, nx, ny, own.between(0.014, 0.024), own.between(0.012, 0.02))
            inner = inner * (1.0 - 0.4 * ramp(spot, 0.012, -0.01))
        stain, body = self.stain[rows, columns], self.body[rows, columns]
        np.maximum(stain, np.where(level < 0.0, inner, 0.0), out=stain)
        halo = blob(
            near, x + own.between(-0.03, 0.03), y, r * 1.9, own, 0.6, 0.3, own.between(0.6, 1.0), turn
        )
        np.maximum(body, ramp(halo, 0.03, -0.1) * own.between(0.4, 0.9), out=body)
        mask: Mask = np.zeros(self.frame.shape, dtype=np.bool_)
        mask[rows, columns] = level < 0.0
        return mask

    def _mitosis(self, place: tuple[float, float]) -> Mask:
        """Paint two plates of condensed chromosomes, moving apart."""
        study, frame = self.study, self.frame
        own = study.of_patient("mitosis")
        x, y = place
        turn = own.between(0.0, 0.5)
        c, s = float(cos_turns(turn)), float(sin_turns(turn))
        gap = 0.03 + 0.012 * study.depth
        frayed = own.smooth(frame, 34.0)
        level: Field = np.full(frame.shape, 9.0)
        for side in (-1.0, 1.0):
            plate = ellipse(frame, x - side * s * gap, y + side * c * gap, 0.062, 0.015, turn)
            level = np.minimum(level, plate)
        level = roughen(level, frayed, study.raggedness["mitosis"], 0.006)
        mask = level < 0.0
        bright = 0.35 + 0.75 * study.contrast["mitosis"]
        np.maximum(self.stain, np.where(mask, bright, 0.0), out=self.stain)
        round_cell = ellipse(frame, x, y, 0.15, 0.15)
        np.maximum(self.body, ramp(round_cell, 0.01, -0.05) * 0.9, out=self.body)
        return mask

    def camera(self) -> tuple[Field, Field, Field]:
        """Return the planes: blurred, with haze, photon noise (by its square-root law) and tint."""
        study, frame = self.study, self.frame
        scale = study.size / 256
        sharp = blur(self.stain, 0.9 * scale)
        haze = blur(self.stain[::4, ::4], 3.0 * scale)
        rows = (np.arange(frame.shape[0]) // 4)[:, None]
        haze = blur(haze[rows, np.arange(frame.shape[1])[None, :] // 4], 3.0)
        vignette = 1.0 - 0.2 * ramp(frame.x * frame.x + frame.y * frame.y, 0.3, 2.2)
        stain = (0.82 * sharp + 0.14 * haze + 0.025) * vignette
        fibrous = 0.4 + 0.6 * ramp(np.abs(self.fibres), 0.5, 0.0)
        body = (0.42 * blur(self.body * fibrous, 1.0 * scale) + 0.02) * vignette
        chance = study.of_slice("photons")
        photons = 220.0 / (0.15 + 4.0 * study.noise * study.noise)
        stain, body = (_counted(plane, photons, chance.gaussian(*frame.shape)) for plane in (stain, body))
        return 0.26 * stain + 0.1 * body, 0.52 * stain + 1.1 * body, 1.35 * stain + 0.25 * body


def _counted(light: Field, photons: float, normal: Field) -> Field:
    """Return light counted in photons: Poisson noise through Anscombe's square-root law."""
    root = np.sqrt(light * photons + 0.375) + 0.5 * normal
    root = np.maximum(root, 0.0)
    return np.floor(np.maximum(root * root - 0.375, 0.0) + 0.5) * (1.0 / photons)


def _draw(study: Study) -> Picture:
    culture = _Culture(study)
    nuclei, mitosis = culture.cells()
    red, green, blue = culture.camera()
    pitch = round(0.00033 * 256 / study.size, 7)
    return Picture(colour(red, green, blue), {"nuclei": nuclei, "mitosis": mitosis}, (pitch, pitch))


NUCLEI = Family(
    "nuclei",
    "fluorescence",
    {"nuclei": "all cell nuclei", "mitosis": "dividing chromosomes"},
    _draw,
)
