"""Bytes to a Decision: decoding, ONNX Runtime, the decision. Imports Pillow and NumPy; never torch, never the store."""
