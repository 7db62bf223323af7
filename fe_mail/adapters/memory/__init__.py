"""In-memory adapters: the specification of each port, and the fakes of the tests."""
