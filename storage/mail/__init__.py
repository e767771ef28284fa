"""Mail: sent to a server by SMTP, or kept in memory."""
