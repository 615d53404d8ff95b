"""What a run did: ledger of artefacts, resuming, manifest."""
