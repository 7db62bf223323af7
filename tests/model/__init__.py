"""Tests of fe_mail.model."""
