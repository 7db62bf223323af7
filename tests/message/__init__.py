"""Tests of fe_mail/message."""
