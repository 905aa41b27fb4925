"""Hugging Face checkpoints -> operations: ``config.json`` tells which family builds them."""
