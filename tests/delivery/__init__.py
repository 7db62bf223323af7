"""Tests of fe_mail.delivery."""
