"""Devices that decide as real clients do: what each makes of an answer, and what it then deletes of its own.

- `tables`: one table for each client, a row for each answer, with the client's source that says so. No code.
- `client`: a device that follows a table over HTTP: its own copies, its own edits that wait, its sync state.
- `files`: the same for clients of plain WebDAV, which have nothing but listings.
- `verdict`: who deleted: a person, on some device or by an undo, or the server, by losing something.

What they leave out of the real clients: parsing of bodies, more than one account on a device, user interfaces, and
the order of requests beyond what decides over a local item.
"""
