"""ONNX files: read as plain data, walked node by node into a float graph, and quantised."""
