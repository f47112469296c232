"""Hydra configuration: values only, no code."""
