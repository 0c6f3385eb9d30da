"""Backends: where completions come from, one file each. `use: x` of a backend is the file `x.py` here."""
