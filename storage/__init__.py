"""The room of what is kept: everything with a disk or a wire behind it, and the one bridge to asyncio
drivers."""
