"""Tests of fe_mail.policy."""
