"""Tests of fe_mail/pop3."""
