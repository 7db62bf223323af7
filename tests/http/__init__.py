"""Tests of fe_mail.http."""
