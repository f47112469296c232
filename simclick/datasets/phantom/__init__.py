"""The kinds of picture that the phantoms imitate, one file each."""

from __future__ import annotations

from simclick.datasets.phantom.chest_xray import CHEST_XRAY
from simclick.datasets.phantom.ct_abdomen import CT_ABDOMEN
from simclick.datasets.phantom.dermoscopy import DERMOSCOPY
from simclick.datasets.phantom.endoscopy import ENDOSCOPY
from simclick.datasets.phantom.fundus import FUNDUS
from simclick.datasets.phantom.mr_brain import MR_BRAIN
from simclick.datasets.phantom.mr_cardiac import MR_CARDIAC
from simclick.datasets.phantom.nuclei import NUCLEI
from simclick.datasets.phantom.oct_retina import OCT_RETINA
from simclick.datasets.phantom.study import Family, Picture, Study
from simclick.datasets.phantom.ultrasound import ULTRASOUND

__all__ = ["FAMILIES", "Family", "Picture", "Study"]

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        CT_ABDOMEN,
        FUNDUS,
        MR_BRAIN,
        ULTRASOUND,
        DERMOSCOPY,
        CHEST_XRAY,
        OCT_RETINA,
        ENDOSCOPY,
        MR_CARDIAC,
        NUCLEI,
    )
}
"""Every family by name, in the order in which a data set goes round them."""
