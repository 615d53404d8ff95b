"""Work in shards that survive a kill."""
