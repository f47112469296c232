"""Gymnasium environments over the one pure `simclick.episode.Episode`, and pictures of episodes.

Importing this package imports neither Gymnasium nor a plotting library; `register_environments`
needs Gymnasium, and the modules are imported when an environment is made.
"""

from __future__ import annotations

__all__ = ["register_environments"]


def register_environments() -> None:
    """Make our environments known to Gymnasium; harmless when called again.

    Entry points are strings, so nothing but Gymnasium's registry is imported here.
    """
    from gymnasium.envs.registration import register, registry

    if "simclick/Segmentation-v0" not in registry:
        register(
            id="simclick/Segmentation-v0",
            entry_point="simclick.envs.segmentation:SegmentationEnv",
            vector_entry_point="simclick.envs.vector:SegmentationVectorEnv",
        )
    if "simclick/Annotation-v0" not in registry:
        register(id="simclick/Annotation-v0", entry_point="simclick.envs.annotation:AnnotationEnv")
