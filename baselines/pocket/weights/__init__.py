"""Weights (safetensors), graphs (ONNX) and model cards of the pocket agents: data alone."""
