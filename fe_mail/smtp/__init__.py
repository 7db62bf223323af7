"""SMTP (RFC 5321): the MX and the submission server."""
