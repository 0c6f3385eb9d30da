"""Filters: one idea a file. Each keeps or drops a row and edits nothing but its scores."""
