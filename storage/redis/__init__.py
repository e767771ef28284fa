"""The Redis client and subscriptions to its channels."""
