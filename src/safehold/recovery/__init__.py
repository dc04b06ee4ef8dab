"""From vaults back into a core: plan, verify, stage. Works when service, archiver and web are dead."""
