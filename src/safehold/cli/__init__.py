"""The commands, one file each.

command     a module with HELP (one line), EXAMPLE and `configure(parser)`; imported only when it is the one chosen
answer      what a command came to: one JSON object, the same as text, and an exit code; only `main` prints it
exit codes  one table for all commands, in `exits`

Standard output is for answers. Progress, warnings and errors go to standard error.
"""
