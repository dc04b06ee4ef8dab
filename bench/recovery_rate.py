"""How fast a recovery is: plan, run, and a bare bulk load of the same rows, side by side.

    python bench/recovery_rate.py [ITEMS] [CHANGES_PER_FRAME]

1-kB vCards of one account in frames of so many changes (default 20,000 items, one change a frame: the worst case for
age, which costs the same for a small frame as for a large one). Everything lies in a temporary folder.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable

from safehold.adapters.system import SystemClock
from safehold.archiver.claiming import claim_timeline
from safehold.archiver.log import Log, LogVault, Mode
from safehold.lab.simdisk import SimDisk
from safehold.lab.world import SeededEntropy
from safehold.model.change import Change
from safehold.model.kinds import Kind
from safehold.ports.core import EMPTY_LOG
from safehold.recovery.plan import make_plan
from safehold.recovery.run import run_plan
from safehold.store.realdisk import RealDisk
from safehold.store.sqlite.core import SqliteCore
from safehold.vault.keyring import ensure_keyring
from safehold.vault.log import VaultLogReader
from safehold.vault.memory import MemoryVault
from tests.support.recovery_fakes import FakeBlobs, History


def contents(items: int) -> list[Change]:
    history = History()
    history.account("ada")
    for n in range(items):
        text = f"{n:08}" * 116
        body = f"BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{n}\r\nFN:{n}\r\nNOTE:{text}\r\nEND:VCARD\r\n"
        history.put("ada", Kind.CONTACTS, f"{n}.vcf", body.encode())
    return history.changes


def timed(label: str, work: Callable[[], object], count: int) -> float:
    began, cpu = time.perf_counter(), time.process_time()
    work()
    seconds = time.perf_counter() - began
    print(f"{label:34}{seconds:8.2f} s {seconds / count * 1e6:8.1f} µs/change   cpu {time.process_time() - cpu:.2f} s")
    return seconds


def main(items: int, group: int) -> None:
    keyring = ensure_keyring(SimDisk(), "/keys", SeededEntropy(1))
    clock, disk = SystemClock(), RealDisk()
    near = MemoryVault("near")
    changes = contents(items)
    vault = LogVault(near, Mode.SYNC)
    log = Log.claim([vault], keyring.sealer, keyring.opener, clock, EMPTY_LOG)
    list(log.tail())
    log.start()

    def write() -> None:
        for start in range(0, len(changes), group):
            log.write(log.prepare(changes[start : start + group]))
        log.close()

    count = len(changes)
    timed("write the log", write, count)
    folder = tempfile.mkdtemp(prefix="recovery-rate-")

    def make_core(where: str) -> SqliteCore:
        disk.make_folders(where)
        return SqliteCore.open(f"{where}/core.db", create=True)

    def bare() -> None:
        core = make_core(f"{folder}/bare")
        core.bulk(True)
        for start in range(0, count, 5000):
            core.begin()
            for change in changes[start : start + 5000]:
                core.apply(change, 1)
            core.commit()
        core.bulk(False)
        core.close()

    def reader() -> VaultLogReader:
        return VaultLogReader([near], keyring.opener)

    try:
        load = timed("bare bulk load of the same rows", bare, count)
        read = timed("read, decrypt, verify frames", lambda: [None for _ in reader().entries()], count)
        timed("plan", lambda: make_plan(reader(), [near], clock, sync=("near",)), count)
        plan = make_plan(reader(), [near], clock, sync=("near",))
        run = timed(
            "run",
            lambda: run_plan(
                plan,
                reader(),
                make_core=make_core,
                blobs=FakeBlobs(),
                disk=disk,
                data=f"{folder}/data",
                clock=clock,
                claim=lambda: claim_timeline([vault], keyring.sealer, keyring.opener, EMPTY_LOG).timeline,
            ),
            count,
        )
        print(f"forecast {plan.report.seconds:.2f} s; run / bare load {run / load:.2f}; run / reading {run / read:.2f}")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
