"""The rules of accounts, collections and items; one command is one transaction."""
