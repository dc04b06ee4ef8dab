"""From change to vault: prepare, encrypt once, write ahead, ship, seal."""
