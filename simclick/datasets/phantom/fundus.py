"""Fundus photograph: optic disc, branching vessels, macula, bright deposits, in colour."""

from __future__ import annotations

import numpy as np

from simclick.datasets.phantom.exact import Field, atan2_turns, cos_turns, exp, sin_turns
from simclick.datasets.phantom.fields import Chance, Frame, blur, mix, ramp
from simclick.datasets.phantom.shapes import Mask, Path, blob, ellipse, solid, strokes, walk
from simclick.datasets.phantom.study import Family, Picture, Study, colour

__all__ = ["FUNDUS"]

_RETINA = ((0.80, 0.40, 0.20), (0.74, 0.33, 0.15), (0.84, 0.46, 0.27))
_DISC, _CUP = (0.98, 0.80, 0.52), (1.0, 0.93, 0.74)
_BLOOD = (0.36, 0.07, 0.05)
_DEPOSIT = (0.99, 0.87, 0.55)


class _Eye:
    """One photograph, as three colour planes; the disc lies on either side by patient."""

    def __init__(self, study: Study) -> None:
        self.study = study
        whole = Frame.of(study.size, study.size)
        # Another photograph of the same eye: the patient looked a little elsewhere.
        gaze = study.of_slice("gaze")
        self.centre = (gaze.between(-0.09, 0.09), gaze.between(-0.07, 0.07))
        self.frame = frame = Frame(whole.x + self.centre[0], whole.y + self.centre[1], whole.px)
        self.side = 1.0 if study.patient % 2 == 0 else -1.0
        self.disc = (self.side * study.number("disc x", 0.44, 0.52), study.number("disc y", -0.05, 0.05))
        self.macula = (self.disc[0] - self.side * 0.78, self.disc[1] + 0.06)
        r = np.sqrt(whole.x * whole.x + whole.y * whole.y)
        self.rim = r - 0.95
        clouds = study.field("clouds", frame, 3.0, 3)
        weave = study.field("weave", frame, 15.0, 2)
        base = _RETINA[study.patient % 3]
        light = 1.0 - 0.3 * ramp(r, 0.3, 1.05) + 0.035 * clouds
        u, v = frame.x - self.macula[0], frame.y - self.macula[1]
        near = u * u + v * v
        spot = 0.36 * exp(near * -16.0) + 0.2 * exp(near * -120.0)
        self.planes: list[Field] = [
            base[0] * light * (1.0 - 0.5 * spot),
            base[1] * light * (1.0 - spot) * (1.0 + 0.05 * weave),
            base[2] * light * (1.0 - 0.8 * spot) * (1.0 + 0.06 * weave),
        ]

    def tint(self, rgb: tuple[float, float, float], weight: Field) -> None:
        """Mix a colour into the picture."""
        self.planes = [mix(plane, value, weight) for plane, value in zip(self.planes, rgb, strict=True)]

    def optic_disc(self) -> Mask:
        """Paint the disc and its cup; return the disc's mask."""
        study, frame = self.study, self.frame
        chance = study.of_patient("disc")
        x, y = self.disc
        radius = chance.between(0.15, 0.18)
        level = blob(frame, x, y, radius, chance, 0.06, 0.55 * study.raggedness["optic-disc"], 1.1)
        mask = solid((level < 0.0) & (self.rim < 0.0))
        c = 0.2 + 0.8 * study.contrast["optic-disc"]
        soft = blur(mask.astype(np.float64), 1.0 * study.size / 256)
        self.tint(_DISC, soft * 0.85 * c)
        cup = ellipse(frame, x - self.side * 0.012, y, radius * chance.between(0.4, 0.6), radius * 0.55)
        self.tint(_CUP, ramp(cup, 0.02, -0.03) * 0.75 * c)
        halo = ramp(np.abs(level - 0.012), 0.022, 0.0) * ramp(
            frame.x * self.side, x * self.side + 0.2, x * self.side - 0.2
        )
        self.tint((0.55, 0.24, 0.12), halo * 0.3 * c)
        return mask

    def vessels(self) -> Mask:
        """Paint veins and arteries; return the mask of both."""
        study = self.study
        wander = 0.025 + 0.06 * study.raggedness["vessels"]
        chance = study.of_patient("vessels")
        veins: list[Path] = []
        arteries: list[Path] = []
        for up in (-1.0, 1.0):
            for temporal in (True, False):
                for tree, width in ((veins, 0.0195), (arteries, 0.0145)):
                    width = width * chance.between(0.9, 1.1) * (1.0 if temporal else 0.8)
                    trunk = self._trunk(chance, up, temporal, width, wander)
                    self._branches(tree, chance, trunk, wander, 0)
        c = 0.25 + 0.75 * study.contrast["vessels"]
        vein, artery = strokes(self.frame, veins), strokes(self.frame, arteries)
        px = self.frame.px
        for level, strength in ((artery, 0.7), (vein, 0.88)):
            self.tint(_BLOOD, ramp(level, 0.75 * px, -0.75 * px) * strength * c)
        self.tint((0.86, 0.42, 0.27), ramp(artery, -0.005, -0.011) * 0.45 * c)
        return (np.minimum(vein, artery) < 0.0) & (self.rim < -px)

    def _trunk(self, chance: Chance, up: float, temporal: bool, width: float, wander: float) -> Path:
        """Return an arcade: out of the disc, up or down, then around the macula, or nasally away."""
        outward = -self.side if temporal else self.side
        start = (
            self.disc[0] + outward * chance.between(-0.02, 0.03),
            self.disc[1] + up * chance.between(0.0, 0.03),
        )
        rise = chance.between(0.5, 0.62) if temporal else chance.between(0.2, 0.6)
        reach = chance.between(1.2, 1.4) if temporal else 0.55
        fall = chance.between(0.1, 0.3) if temporal else -0.1
        n = 44 if temporal else 18
        phases = chance.uniform(3).tolist()
        path: Path = []
        for i in range(n + 1):
            t = i / n
            rest = 1.0 - t
            x = start[0] + outward * reach * t * ((0.3 + 0.7 * t) if temporal else 1.0)
            y = start[1] + up * (rise * (1.0 - rest * rest * rest) - fall * t * t)
            sway = 0.0
            for phase, cycles in zip(phases, (2.3, 4.1, 7.7), strict=True):
                sway += float(sin_turns(phase + t * cycles)) / cycles
            path.append((x, y + sway * 1.3 * wander, width * (1.0 - 0.62 * t)))
        return path

    def _branches(self, paths: list[Path], chance: Chance, path: Path, wander: float, order: int) -> None:
        """Add a vessel, ended where it leaves the picture or nears the macula, and its branches."""
        kept = path[:1]
        for x, y, w in path[1:]:
            u, v = x - self.macula[0], y - self.macula[1]
            if x * x + y * y > 1.2 or u * u + v * v < 0.018:
                break
            kept.append((x, y, w))
        # Never thinner than the pixels can show: the truth stays a connected tree.
        paths.append([(x, y, max(w, 0.6 * self.frame.px)) for x, y, w in kept])
        if order == 3:
            return
        gap = (9, 8, 7)[order]
        i, turn = 2 + chance.below(gap), 1.0
        while i < len(kept) - 2 and kept[i][2] > 0.0036:
            (x0, y0, _), (x, y, w) = kept[i - 1], kept[i]
            along = float(atan2_turns(y - y0, x - x0))
            length = chance.between(0.75, 1.25) * (0.6, 0.34, 0.2)[order]
            bend = chance.between(-0.14, 0.14)
            fork = along + turn * chance.between(0.08, 0.15)
            child = walk((x, y), fork, length, (0.64 * w, 0.28 * w), chance, wander, 0.035, bend)
            self._branches(paths, chance, child, wander, order + 1)
            i, turn = i + gap // 2 + chance.below(gap), -turn

    def deposits(self) -> Mask:
        """Paint a cluster of tiny bright deposits near the macula; return their mask."""
        study, frame = self.study, self.frame
        chance = study.of_patient("deposits")
        turn = chance.between(0.0, 1.0)
        cx = self.macula[0] + 0.2 * float(cos_turns(turn))
        cy = self.macula[1] + 0.2 * float(sin_turns(turn))
        mask: Mask = np.zeros(frame.shape, dtype=np.bool_)
        px = frame.px
        for k in range(7):
            x, y = cx + chance.between(-0.16, 0.16), cy + chance.between(-0.14, 0.14)
            radius = chance.between(1.1, 2.2) * px if k else 2.6 * px
            level = blob(
                frame, x, y, radius, chance, 0.2, study.raggedness["deposits"], chance.between(0.8, 1.0)
            )
            mask |= level < 0.0
        mask &= self.rim < -px
        self.tint(_DEPOSIT, blur(mask.astype(np.float64), 0.45) * (0.1 + 0.75 * study.contrast["deposits"]))
        return mask

    def photograph(self) -> list[Field]:
        """Return the planes through the camera's round stop, with noise."""
        study, frame = self.study, self.frame
        chance, sigma = study.of_slice("noise"), 0.028 * study.noise
        flash = study.of_slice("flash")
        glow = 1.0 + 0.1 * flash.smooth(frame, 1.5)
        stop = ramp(self.rim, 0.006, -0.012)
        shared = blur(chance.gaussian(*frame.shape), 0.5) * 1.7
        shot = []
        for plane in self.planes:
            own = blur(chance.gaussian(*frame.shape), 0.5) * 1.7
            shot.append((blur(plane * glow, 0.5) + sigma * (0.7 * shared + 0.7 * own)) * stop)
        return shot


def _draw(study: Study) -> Picture:
    eye = _Eye(study)
    disc = eye.optic_disc()
    vessels = eye.vessels()
    deposits = eye.deposits()
    red, green, blue = eye.photograph()
    return Picture(
        colour(red, green, blue), {"vessels": vessels, "optic-disc": disc, "deposits": deposits}, None
    )


FUNDUS = Family(
    "fundus",
    "fundus",
    {"vessels": "blood vessels", "optic-disc": "optic disc", "deposits": "small bright deposits"},
    _draw,
)
