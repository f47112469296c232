"""MR of the brain: an axial T1-weighted slice after contrast agent, with an enhancing tumour."""

from __future__ import annotations

import numpy as np

from simclick.datasets.phantom.exact import Field, atan2_turns, exp, sin_turns
from simclick.datasets.phantom.fields import Frame, blur, paint, ramp
from simclick.datasets.phantom.shapes import Mask, Path, blob, ellipse, join, roughen, solid, strokes
from simclick.datasets.phantom.study import Family, Picture, Study, grey

__all__ = ["MR_BRAIN"]

_LEFT_RIGHT = (-1.0, 1.0)
_CSF, _GREY, _WHITE = 0.15, 0.45, 0.74


class _Head:
    """One slice, painted from the scalp inwards in units of the scanner's signal."""

    def __init__(self, study: Study) -> None:
        n = study.size
        self.study = study
        self.frame = frame = Frame.of(n, n)
        self.signal: Field = np.full(frame.shape, 0.01)
        self.texture = study.field("texture", frame, 30.0, 2)
        self.size = 1.0 - 0.06 * study.depth

    def coverings(self) -> None:
        """Paint scalp, skull and the fluid about the brain; set the brain's level."""
        study, frame, s = self.study, self.frame, self.signal
        wide, tall = (
            study.number("wide", 0.72, 0.78) * self.size,
            study.number("tall", 0.88, 0.94) * self.size,
        )
        # The front of a head is narrower than its back.
        shear = 1.0 + 0.09 * frame.y
        narrowed = Frame(np.broadcast_to(frame.x / shear, frame.shape), frame.y, frame.px)
        u, v = narrowed.x / wide, narrowed.y / tall
        head = (np.sqrt(u * u + v * v) - 1.0) * wide + 0.007 * study.field("scalp", frame, 3.0)
        paint(s, head < 0.0, 0.3)
        paint(s, head < -0.01, 0.84 + 0.06 * self.texture)
        paint(s, head < -0.036, 0.3)
        paint(s, head < -0.046, 0.05)
        paint(s, (head < -0.056) & (head > -0.072), 0.36 + 0.1 * self.texture)
        paint(s, head < -0.082, 0.27)
        paint(s, head < -0.088, _CSF)
        self.brain = head + 0.1

    def _sulci(self) -> Field:
        """Return the distance to the nearest sulcus: wavy spokes of varying depth, nearly mirrored."""
        study, frame = self.study, self.frame
        fold = study.field("folds", frame, 4.0, 2, 0.6)
        mirrored = 0.5 * (fold + fold[:, ::-1]) + 0.35 * study.field("folds alone", frame, 4.5)
        y = frame.y / 1.2
        radius = np.sqrt(frame.x * frame.x + y * y)
        angle = atan2_turns(np.abs(frame.x), y)
        spokes = study.number("gyri", 11.0, 14.0)
        wave = sin_turns(spokes * angle + 0.55 * mirrored)
        depth = 0.15 + 0.075 * study.field("depths", frame, 6.0)
        beyond = np.maximum(0.0, -self.brain - depth)
        return np.abs(wave) * radius * (1.15 / spokes) + beyond

    def cortex(self) -> None:
        """Paint grey and white matter along folds that end at some depth, and the fissures."""
        study, frame, s = self.study, self.frame, self.signal
        inside = -self.brain
        gap = np.abs(frame.x + 0.006 * study.field("midline", frame, 4.0))
        falx = np.maximum(gap, 0.9 * np.maximum(0.0, 0.34 - np.abs(frame.y + 0.02)))
        clefts: list[Path] = []
        for side in _LEFT_RIGHT:
            chance = study.of_patient("insula", side)
            bend = chance.between(-0.03, 0.03)
            top = (side * 0.5, -0.2 + bend, 0.003)
            clefts.append([(side * 0.66, -0.26 + bend, 0.008), top, (side * 0.44, -0.12, 0.008)])
            clefts.append(
                [(side * 0.44, -0.12, 0.008), (side * 0.45, 0.02, 0.006), (side * 0.49, 0.12, 0.002)]
            )
        sylvian = np.maximum(strokes(frame, clefts) + 0.006 * self.texture, 0.0)
        reach = np.minimum(np.minimum(inside, self._sulci()), np.minimum(falx, sylvian))
        edge = 0.004 * self.texture
        white = _WHITE + 0.018 * self.texture
        paint(s, inside > 0.0, _CSF)
        paint(s, (inside > 0.0) & (reach > 0.006), _GREY + 0.02 * self.texture)
        paint(s, (inside > 0.0) & (reach + edge > 0.035), white)
        veil = (inside > 0.02) & (gap < 0.006) & (np.abs(frame.y) > 0.36)
        paint(s, veil, 0.34)
        sinus = ellipse(frame, 0.0, float(self.sinus_row()), 0.03, 0.026)
        paint(s, sinus < 0.0, 0.95)

    def sinus_row(self) -> float:
        """Return the row at which the sagittal sinus lies, at the back of the brain."""
        return 0.9 * self.size - 0.13

    def deep_nuclei(self) -> None:
        """Paint thalamus, putamen, pallidum and caudate heads."""
        frame, s = self.frame, self.signal
        bumps = 0.008 * self.study.field("nuclei", frame, 9.0)
        for side in _LEFT_RIGHT:
            for cx, cy, rx, ry, turn, value in (
                (0.11, 0.1, 0.085, 0.13, -0.08, 0.56),
                (0.31, -0.07, 0.055, 0.17, 0.035, 0.5),
                (0.235, -0.03, 0.035, 0.1, 0.06, 0.64),
                (0.13, -0.235, 0.055, 0.09, -0.04, 0.5),
            ):
                nucleus = ellipse(frame, side * cx, cy, rx, ry, side * turn) + bumps
                soft = ramp(nucleus, 0.012, -0.012)
                s += (value - s) * soft

    def ventricles(self) -> Mask:
        """Paint the lateral and third ventricles; return the lateral ones' mask."""
        study, frame, s = self.study, self.frame, self.signal
        swell = study.number("ventricles", 0.85, 1.45) * (1.0 + 0.25 * study.depth)
        level = np.full(frame.shape, 9.0)
        for side in _LEFT_RIGHT:
            own = swell * study.of_patient("ventricle", side).between(0.92, 1.08)
            front = ellipse(frame, side * 0.08, -0.24, 0.033 * own, 0.13, -side * 0.055)
            back = ellipse(frame, side * 0.19, 0.27, 0.035 * own, 0.16, -side * 0.06)
            body = ellipse(frame, side * 0.055, -0.1, 0.026 * own, 0.16, -side * 0.01)
            level = np.minimum(level, join(join(front, body, 0.05), back, 0.03))
        frayed = study.of_patient("ependyma").smooth(frame, 26.0, 2)
        near = level < 0.02
        level = roughen(level, frayed, study.raggedness["ventricles"], 0.02)
        apart = np.abs(frame.x) - 0.009
        mask = (level < 0.0) & near & (apart > 0.0)
        c = study.contrast["ventricles"]
        dark = _WHITE - (_WHITE - _CSF) * (0.3 + 0.7 * c)
        third = ellipse(frame, 0.0, 0.09, 0.012 * swell, 0.09)
        paint(s, third < 0.0, _CSF + 0.06)
        paint(s, mask, dark)
        plexus = ellipse(frame, 0.19, 0.3, 0.018, 0.05, -0.06)
        plexus = np.minimum(plexus, ellipse(frame, -0.19, 0.3, 0.018, 0.05, 0.06))
        paint(s, (plexus < 0.0) & mask, dark + 0.3 * c)
        return mask

    def tumour(self) -> Mask:
        """Paint a tumour with enhancing rim and dark core in dark swelling; return its mask."""
        study, frame, s = self.study, self.frame, self.signal
        chance = study.of_patient("tumour")
        side = 1.0 if chance.below(2) else -1.0
        cx, cy = (
            side * chance.between(0.26, 0.33),
            chance.between(0.28, 0.36) * (1.0 if chance.below(2) else -1.0),
        )
        radius = chance.between(0.11, 0.16) * (1.0 - 0.25 * study.depth)
        level = blob(
            frame, cx, cy, radius, chance, 0.3, study.raggedness["tumour"], chance.between(0.75, 1.0)
        )
        inside = self.brain < -0.01
        swelling = ramp(level + 0.03 * study.field("swelling", frame, 9.0), 0.13, 0.05)
        s -= np.where(inside, 0.22 * swelling * ramp(s, 0.3, 0.6), 0.0)
        mask = solid((level < 0.0) & inside)
        c = study.contrast["tumour"]
        core = level + 0.02 * study.field("necrosis", frame, 9.0) + 0.3 * radius
        paint(s, mask, 0.4 + 0.52 * c + 0.05 * c * self.texture)
        paint(s, mask & (core < 0.0), 0.4 - 0.2 * c + 0.03 * self.texture)
        return mask

    def scan(self) -> Field:
        """Return grey values: blurred, shaded by a smooth bias, with Rician noise."""
        study, frame = self.study, self.frame
        bias = exp(0.16 * study.of_patient("bias").smooth(frame, 1.3))
        signal = blur(self.signal, 0.65 * study.size / 256) * bias
        chance, sigma = study.of_slice("noise"), 0.045 * study.noise
        real = signal + sigma * chance.gaussian(*frame.shape)
        imaginary = sigma * chance.gaussian(*frame.shape)
        return np.sqrt(real * real + imaginary * imaginary) * 1.02


def _draw(study: Study) -> Picture:
    head = _Head(study)
    head.coverings()
    head.cortex()
    head.deep_nuclei()
    ventricles = head.ventricles()
    tumour = head.tumour()
    spacing = round(study.number("field of view", 220.0, 250.0) / study.size, 4)
    masks = {"ventricles": ventricles & ~tumour, "tumour": tumour}
    return Picture(grey(head.scan()), masks, (spacing, spacing))


MR_BRAIN = Family("mr-brain", "mr", {"ventricles": "lateral ventricles", "tumour": "brain tumour"}, _draw)
