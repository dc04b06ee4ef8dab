"""The words of the house, as values: no I/O, no clock, no randomness.

account     an opaque 16-byte id; its name lies in its identity stream and may change
kind        one of the six kinds of personal data, or `identity`
collection  an address book, calendar, task list, journal, folder or game: of one kind, under one path
item        one vCard, iCalendar object, note, photo or score, under a name within its collection
change      one step of one stream; the only way anything ever changes
stream      (account, kind): the changes, numbered 1, 2, 3 … and hash-chained
head        (rev, hash) at a stream's end
group       changes of one stream that stand or fall together
timeline    raised by each start of a writer and by each recovery
command     what a person or a device asks for, with its preconditions; one transaction judges and applies it
outcome     what became of a command
"""
