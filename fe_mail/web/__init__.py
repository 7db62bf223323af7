"""The web UI: server-rendered pages in every language of the catalogs."""
