"""Tests of fe_mail.jobs."""
