"""Mail: messages, and the port that sends them."""
