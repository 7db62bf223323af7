"""Tests of fe_mail.accounts."""
