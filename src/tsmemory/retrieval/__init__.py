"""Keys, datastore and embargoed search."""
