"""Tests of fe_mail.web."""
