"""The commands, a few lines each: a command parses, calls one function, prints."""
