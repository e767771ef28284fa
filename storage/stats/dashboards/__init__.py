"""Shares of statistics, annotations and saved questions, in Postgres and in memory."""
