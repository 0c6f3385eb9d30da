"""Placeholder until the weighted list of models is written."""

from synth.backend import Backend


class Mixture(Backend):
    """To be written."""
