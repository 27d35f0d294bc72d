"""Models as ONNX graphs and in half precision, checked against PyTorch."""
