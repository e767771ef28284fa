"""Users, API keys, members, and what each may do: rules without a store."""
