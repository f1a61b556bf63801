"""The model as an ONNX graph: written, made small, and run."""
