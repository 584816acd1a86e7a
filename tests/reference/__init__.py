"""Independent reference implementation of the parley specification, in plain Python."""
