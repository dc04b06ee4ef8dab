"""Which runbook an incident or alarm calls for, by its `what`. A test holds that none in the source lacks one."""

from __future__ import annotations

#: Names of runbooks (`safehold runbook show NAME`).
RUNBOOKS = (
    "recover",
    "damaged-core",
    "bare-machine",
    "both-lost",
    "damaged-vault",
    "lost-vault",
    "keeper",
    "erasure",
    "mass-deletion",
    "upgrade",
    "move-host",
    "rotate-keys",
    "add-vault",
    "retire-vault",
    "weekly",
    "ransomware",
    "key-lost",
    "one-account",
    "old-core",
    "disk-full",
    "silent-writer",
    "alarm-channel",
    "clock",
    "drill-failed",
    "objective",
    "missed-job",
    "shrunk",
)
#: Where nothing else is known: what to look at.
DEFAULT_RUNBOOK = "weekly"

RUNBOOK_OF = {
    # what the service and the keeper note
    "core missing": "recover",
    "core unreadable": "damaged-core",
    "core damaged": "damaged-core",
    "core renewed": "damaged-core",
    "core not renewed": "damaged-core",
    "core mended": "damaged-core",
    "large body damaged": "damaged-core",
    "writing stopped": "silent-writer",
    "device ahead": "recover",
    "the end of the log is in doubt": "recover",
    "vault missing": "lost-vault",
    "vault not answering": "lost-vault",
    "vault damaged": "damaged-vault",
    "evidence missing": "damaged-vault",
    "not the same": "damaged-vault",
    "not attested": "keeper",
    "not kept": "keeper",
    "no keeping": "keeper",
    "no snapshot": "missed-job",
    "erasures put off": "erasure",
    "mail": "alarm-channel",
    "status file": "disk-full",
    # what rules find
    "archiver stopped": "silent-writer",
    "vault behind": "silent-writer",
    "writer silent": "silent-writer",
    "seals old": "silent-writer",
    "scrub old": "missed-job",
    "replay old": "missed-job",
    "drill old": "missed-job",
    "drill failed": "drill-failed",
    "job missed": "missed-job",
    "job failed": "missed-job",
    "vault drops": "damaged-vault",
    "vault shrank": "shrunk",
    "kind stopped": "shrunk",
    "account stopped": "shrunk",
    "kind empty": "shrunk",
    "bodies not covered": "shrunk",
    "wrong key": "key-lost",
    "recipients changed": "rotate-keys",
    "chain broken": "damaged-core",
    "disk slow": "disk-full",
    "disk filling": "disk-full",
    "vault full": "disk-full",
    "clock jumped": "clock",
    "clock off": "clock",
    "certificate ends": "rotate-keys",
    "key ends": "rotate-keys",
    "alarm channel": "alarm-channel",
    "alarm test old": "alarm-channel",
    "objective violated": "objective",
}


def runbook_of(what: str) -> str:
    """The runbook for an incident of that `what`; DEFAULT_RUNBOOK where none is known."""
    return RUNBOOK_OF.get(what, DEFAULT_RUNBOOK)
