"""Tests of fe_mail.connection."""
