"""Tests of fe_mail.reception."""
