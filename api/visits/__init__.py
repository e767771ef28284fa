"""The visitors' HTTP server."""
