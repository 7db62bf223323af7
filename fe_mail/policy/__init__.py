"""Rule tables: small named rules, their order visible on one screen."""
