"""What every domain says: errors, export, idempotency, retry."""
