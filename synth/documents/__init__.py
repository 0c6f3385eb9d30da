"""Files, tables and datasets read as documents, one at a time: what a source makes its rows of."""
