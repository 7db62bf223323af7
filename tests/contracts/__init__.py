"""Tests of fe-mail, run by trial."""
