"""All metrics of `/metrics`: name, type, labels and what each tells. docs/metrics.md is held against this table.

Names follow Prometheus' conventions: the base unit comes last (seconds, bytes), `_total` after what only grows,
`_timestamp_seconds` for a moment in Unix time, `_info` for a 1 whose labels tell.
"""

from __future__ import annotations

from typing import NamedTuple

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"


class Metric(NamedTuple):
    type: str
    labels: tuple[str, ...]
    help: str  # one sentence


def _counter(help_: str, *labels: str) -> Metric:
    return Metric(COUNTER, labels, help_)


def _gauge(help_: str, *labels: str) -> Metric:
    return Metric(GAUGE, labels, help_)


def _histogram(help_: str, *labels: str) -> Metric:
    return Metric(HISTOGRAM, labels, help_)


METRICS: dict[str, Metric] = {
    # is it safe
    "safehold_up": _gauge("1 while the service answers requests, 0 while it starts or stops."),
    "safehold_ready": _gauge("1 while reads and writes are taken and no recovery is under way."),
    "safehold_recovering": _gauge("1 while a recovery is under way."),
    "safehold_incidents": _gauge("Incidents that last."),
    "safehold_alarms_open": _gauge("Alarms that were raised and are not over."),
    "safehold_objective_target_seconds": _gauge("What an objective asks for.", "objective"),
    "safehold_objective_actual_seconds": _gauge("What is measured or forecast for it.", "objective"),
    "safehold_objective_met": _gauge("1, or 0 while it is at risk, violated or unknown.", "objective"),
    "safehold_forecast_seconds": _gauge("How long a recovery is forecast to take, by objective.", "objective"),
    "safehold_evidence_timestamp_seconds": _gauge(
        "When a sort of evidence was last complete: of each vault, or each share.", "evidence"
    ),
    "safehold_job_last_run_timestamp_seconds": _gauge("When a job last did what it is for.", "job"),
    "safehold_job_last_run_ok": _gauge("0 where its last run failed.", "job"),
    # vaults
    "safehold_vault_reachable": _gauge("1 while the vault can be read.", "vault", "mode"),
    "safehold_vault_unarchived_changes": _gauge("Changes that a vault does not hold yet.", "vault", "mode"),
    "safehold_vault_lag_seconds": _gauge("How old the oldest of these is.", "vault", "mode"),
    "safehold_vault_last_scrub_timestamp_seconds": _gauge("When all of it was last read and checked.", "vault"),
    "safehold_vault_last_scrub_damaged_objects": _gauge("Objects that this found damaged.", "vault"),
    "safehold_vault_last_drill_timestamp_seconds": _gauge("When it was last recovered from for a drill.", "vault"),
    "safehold_vault_last_drill_ok": _gauge("1 where that drill found everything as it should be.", "vault"),
    "safehold_vault_requests_total": _counter(
        "Requests to a bucket or a vault server: write, read, delete, or failed.", "vault", "kind"
    ),
    "safehold_vault_traffic_bytes_total": _counter(
        "Bytes sent to and received from a bucket or a vault server.", "vault", "direction"
    ),
    # the core
    "safehold_timeline": _gauge("The timeline that is written."),
    "safehold_accounts": _gauge("Accounts."),
    "safehold_changes": _gauge("Changes of all streams that the core holds."),
    "safehold_items": _gauge("Live items.", "kind"),
    "safehold_items_bytes": _gauge("Bytes of their bodies.", "kind"),
    "safehold_intake_items": _gauge("Writes that wait for streams that cannot be had now."),
    "safehold_free_bytes": _gauge("Room on the fullest disk that a change is written to."),
    "safehold_queue_commands": _gauge("Changes that wait to be written."),
    "safehold_append_seconds": _histogram("Time to append and sync one group commit in every sync vault."),
    "safehold_commit_seconds": _histogram("Time to commit one in the core, after that."),
    "safehold_core_mended_total": _counter("Pages and bodies of the core that were mended."),
    "safehold_core_damaged": _gauge("What is damaged in it now."),
    "safehold_core_checked_timestamp_seconds": _gauge("When all of it was last read."),
    # traffic
    "safehold_http_requests_total": _counter("Requests answered; 0: the client went before.", "method", "status"),
    "safehold_http_request_seconds": _histogram("Time until the last byte of an answer was handed over.", "method"),
    "safehold_counter_total": _counter("What else the service counts.", "name"),
    # recovery
    "safehold_recovery_progress_ratio": _gauge("How much of a recovery that is under way is done."),
    "safehold_recovery_forecast_seconds": _gauge("How long the rest of it is forecast to take."),
    # the process
    "safehold_build_info": _gauge("1; the labels tell the version.", "version", "python"),
    "process_cpu_seconds_total": _counter("User and system time."),
    "process_threads": _gauge("Threads of the process."),
    "process_start_time_seconds": _gauge("When it began, in Unix time."),
    "process_virtual_memory_bytes": _gauge("Address space."),
    "process_resident_memory_bytes": _gauge("Memory."),
    "process_open_fds": _gauge("Open file descriptors."),
    "process_max_fds": _gauge("How many it may open."),
    "python_gc_collections_total": _counter("Garbage collections.", "generation"),
}
