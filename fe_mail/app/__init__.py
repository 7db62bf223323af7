"""The composition root: only here live the reactor, the environment and the choice of adapter."""
