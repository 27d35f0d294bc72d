"""Exported models in use: ONNX Runtime, tokenizers and NumPy; neither torch nor transformers."""
