"""Tests of fe_mail/mailauth."""
