"""synth makes training data for text embedders, checks it, and proves it by training on it."""

__version__ = "0.1.0"
