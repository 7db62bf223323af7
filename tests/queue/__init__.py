"""Tests of fe_mail.queue."""
