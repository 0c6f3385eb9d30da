"""Stages: sources (`from_…`) and makers (verbs). `use: x` in a recipe is the file `x.py` here or in `filters`."""
