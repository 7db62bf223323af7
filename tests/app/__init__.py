"""Tests of fe_mail.app."""
