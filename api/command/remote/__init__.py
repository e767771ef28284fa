"""Commands that work through the console's API, as any other client does."""
