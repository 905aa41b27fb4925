"""Programs of torch's ATen operators -> operations: one table, one file per family.

Knows the operators by name only and imports no torch: a program can be traced from a live module,
or read from the JSON of a file.
"""
