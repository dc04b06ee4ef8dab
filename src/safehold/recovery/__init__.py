"""From vaults back into a core: plan, verify, enter, compare, put into place. Works when service and archiver are dead.

selection   which streams a run enters, and which of them its report counts
chains      heads, gaps and sealed heads of all streams, as the log or a journal is read
contents    what lives at the end of each stream, in some 200 bytes an item
replay      chains and contents together, fed change by change; independent of how a core derives its state
tally       a replay in numbers and names: exact, older, lost
plan        what would come back, in what order, how long it takes and from where; written to a file, nothing else
anew        whether the installation's own key, where no source has it, may be made anew
run         a plan carried out: claim, read, enter, verify, compare, put into place; resumable after any kill
verify      a core compared, row by row, with a replay of its own journal
place       the folders that a run uses, and the renames that put a new core where the old one was

A *gap* is a range of revs of one stream that no source holds; a *hole* is a range of frames of the log that no
vault holds. A hole makes gaps in the streams it touched, and says nothing of which those are: later revs and seals do.
"""
