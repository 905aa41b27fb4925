"""ONNX files -> operations: reading, shapes and folding, then one file per family of operators."""
