"""User agents: classes of devices, and client hints behind them."""
