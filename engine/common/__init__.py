"""Parts that every domain uses: errors, export, idempotency, retry."""
