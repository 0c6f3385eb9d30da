"""Rows of one kind made into rows of another, without a model: labels, grades, samples that are ranked, test sets.

Each is a function from rows to their fates; `stages/convert.py` is the step that names them. A row that a conversion
is not for passes as it is.
"""
