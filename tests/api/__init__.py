"""Tests of fe_mail.api."""
