"""A selected folder as a session sees it: sequence numbers, search, changes."""
