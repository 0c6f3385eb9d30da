"""Engines: where row-wise steps run."""
