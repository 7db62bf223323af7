"""Background jobs: a table of small named pieces of upkeep."""
