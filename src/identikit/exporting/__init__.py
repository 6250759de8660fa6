"""A model written as one graph that runs without its Python: ONNX, or torch.export's own file."""
