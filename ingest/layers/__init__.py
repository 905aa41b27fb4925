"""One file per layer family: an operation -> neurons and links.

A family is a function ``(operation, building)``; :mod:`ingest.layers.build` holds the registry.
"""
