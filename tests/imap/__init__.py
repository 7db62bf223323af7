"""Tests of fe_mail.imap."""
