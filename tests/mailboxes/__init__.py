"""Tests of fe_mail.mailboxes."""
