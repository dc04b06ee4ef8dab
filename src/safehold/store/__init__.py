"""The core: journal and present state in a database, and the live blobs beside it."""
