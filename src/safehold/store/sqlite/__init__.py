"""The core on SQLite: schema, journal, present state, and the files beneath it."""
