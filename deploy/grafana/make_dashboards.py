#!/usr/bin/env python3
"""Writes dashboards/*.json from the tables below; `--check` says whether the files are what it would write.

A row of a table is a panel: title, kind, width in 24ths, unit, what it tells, and its queries with their legends.
"""
import json
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "dashboards"
COLUMNS = 24
HEIGHTS = {"stat": 4, "timeseries": 8, "bargauge": 8}
SOURCE = {"type": "prometheus", "uid": "${source}"}
JOB = '{job=~"$job"}'

MY_RUN = [
    ("Steps done", "stat", 4, "percentunit", "Share of the job's steps that are finished.", [
        (f"ijepa_coordinator_job_step{JOB} / ijepa_coordinator_job_steps_total{JOB}", "{{job}}")]),
    ("Time left", "stat", 4, "s", "At the pace of the last ten minutes.", [
        (f"(ijepa_coordinator_job_steps_total{JOB} - ijepa_coordinator_job_step{JOB})"
         f" / clamp_min(deriv(ijepa_coordinator_job_step{JOB}[10m]), 1e-9)", "{{job}}")]),
    ("Images per second", "stat", 4, "short", "Over all ranks.", [
        (f"ijepa_coordinator_job_images_per_second{JOB}", "{{job}}")]),
    ("Newest checkpoint", "stat", 4, "s", "Age of the newest committed checkpoint: what a failure would cost now.", [
        (f"time() - ijepa_coordinator_job_checkpoint_time_seconds{JOB}", "{{job}}")]),
    ("Restarts", "stat", 4, "short", "Attempts after the first.", [
        (f"ijepa_coordinator_job_restarts{JOB}", "{{job}}")]),
    ("Collapse alarm", "stat", 4, "bool_on_off", "On while the representation looks collapsed (docs/TELEMETRY.md).", [
        (f"ijepa_coordinator_job_collapse_suspected{JOB}", "{{job}}")]),
    ("Loss", "timeseries", 12, "short", "Smooth L1 in the space of normalised targets, mean over ranks. It may rise while"
     " the targets grow richer: judge it beside the effective rank.", [
         (f"ijepa_coordinator_job_loss{JOB}", "{{job}}")]),
    ("Effective rank", "timeseries", 12, "short", "RankMe of target features, of patches and of their mean per image."
     " Falling towards 1 is collapse.", [
         (f"ijepa_coordinator_job_effective_rank{JOB}", "{{job}} {{features}}")]),
    ("Speed", "timeseries", 8, "short", "Images per second over all ranks.", [
        (f"ijepa_coordinator_job_images_per_second{JOB}", "{{job}}")]),
    ("Waiting for data", "timeseries", 8, "percentunit", "Share of a step that rank 0 waited for images.", [
        (f"ijepa_coordinator_job_data_wait_share{JOB}", "{{job}}")]),
    ("Batches ready", "timeseries", 8, "short", "Decoded batches that wait for the trainer, and how many may.", [
        (f"ijepa_coordinator_job_data_ready_batches{JOB}", "{{job}} ready"),
        (f"ijepa_coordinator_job_data_max_batches{JOB}", "{{job}} at most")]),
    ("Feature standard deviation", "timeseries", 8, "short", "Over patches; mean and smallest over features.", [
        (f"ijepa_coordinator_job_feature_std{JOB}", "{{job}} {{statistic}}")]),
    ("Target variance", "timeseries", 8, "short", "Of a target feature, between patches of an image and between images.", [
        (f"ijepa_coordinator_job_target_variance{JOB}", "{{job}} {{over}}")]),
    ("Off-diagonal covariance", "timeseries", 8, "short", "Of two different target features, root mean square.", [
        (f"ijepa_coordinator_job_off_diagonal_covariance{JOB}", "{{job}}")]),
    ("Prediction cosine", "timeseries", 8, "short", "Cosine of prediction and target, mean over patches.", [
        (f"ijepa_coordinator_job_prediction_cosine{JOB}", "{{job}}")]),
    ("Gradient norms", "timeseries", 8, "short", "L2 norms of the averaged gradient by part of the networks.", [
        (f"ijepa_coordinator_job_gradient_norm{JOB}", "{{job}} {{part}}")]),
    ("Update and target distance", "timeseries", 8, "short", "Norm of an update, and of the distance between target and"
     " encoder, as shares of the weights' norm.", [
         (f"ijepa_coordinator_job_update_ratio{JOB}", "{{job}} update"),
         (f"ijepa_coordinator_job_target_distance{JOB}", "{{job}} target distance")]),
    ("Time per image", "timeseries", 8, "s", "Of one decoding thread of rank 0; decoding is what is not reading.", [
        (f"ijepa_coordinator_job_data_image_seconds{JOB}", "{{job}} in all"),
        (f"ijepa_coordinator_job_data_decode_seconds{JOB}", "{{job}} decoding")]),
    ("Bytes read", "timeseries", 8, "Bps", "Of image files, by rank 0.", [
        (f"ijepa_coordinator_job_data_read_bytes_per_second{JOB}", "{{job}}")]),
    ("Bad images", "timeseries", 8, "short", "Replaced by rank 0 since the start of the attempt, by reason.", [
        (f"ijepa_coordinator_job_bad_images{JOB} > 0", "{{job}} {{reason}}")]),
    ("Steps that were not finite", "timeseries", 12, "short", "NaN or Inf in loss or gradient within ten minutes, by what was"
     " done.", [
         (f"increase(ijepa_coordinator_job_non_finite_steps_total{JOB}[10m])", "{{job}} {{action}}")]),
    ("Slow ranks", "timeseries", 12, "short", "Own work per step over the median rank's, for ranks above the limit.", [
        (f"ijepa_coordinator_job_slow_rank_ratio{JOB}", "{{job}} rank {{rank}} on {{node}}")]),
]

CLUSTER = [
    ("Slots in use", "stat", 4, "percentunit", "Slots held by jobs, of all slots of nodes that are not lost.", [
        ("sum(ijepa_coordinator_slots_used) / clamp_min(sum(ijepa_coordinator_slots_total), 1)", "in use")]),
    ("Free slots", "stat", 4, "short", "", [
        ("sum(ijepa_coordinator_slots_total) - sum(ijepa_coordinator_slots_used)", "free")]),
    ("Running jobs", "stat", 4, "short", "", [('sum(ijepa_coordinator_jobs{state="running"})', "running")]),
    ("Queued jobs", "stat", 4, "short", "", [('sum(ijepa_coordinator_jobs{state="queued"})', "queued")]),
    ("Nodes not ready", "stat", 4, "short", "Unreachable or lost.", [
        ('sum(ijepa_coordinator_nodes{state=~"unreachable|lost"})', "not ready")]),
    ("Quarantined", "stat", 4, "short", "Nodes that get no ranks for a while after faults of several jobs.", [
        ("sum(ijepa_coordinator_nodes_quarantined)", "quarantined")]),
    ("Slots", "timeseries", 12, "short", "", [
        ("sum(ijepa_coordinator_slots_total)", "all"), ("sum(ijepa_coordinator_slots_used)", "in use")]),
    ("Why jobs wait", "timeseries", 12, "short", "Queued jobs by the code of their reason; ijepactl list shows each.", [
        ("sum by (reason) (ijepa_coordinator_jobs_waiting)", "{{reason}}")]),
    ("Jobs", "timeseries", 12, "short", "By state.", [("sum by (state) (ijepa_coordinator_jobs)", "{{state}}")]),
    ("Nodes", "timeseries", 12, "short", "By state.", [("sum by (state) (ijepa_coordinator_nodes)", "{{state}}")]),
    ("Images per second by job", "timeseries", 12, "short", "", [("ijepa_coordinator_job_images_per_second", "{{job}}")]),
    ("Restarts by job", "bargauge", 12, "short", "Attempts after the first, of active jobs.", [
        ("topk(10, ijepa_coordinator_job_restarts)", "{{job}}")]),
    ("Ranks by phase", "timeseries", 8, "short", "Over all workers.", [("sum by (phase) (ijepa_worker_ranks)", "{{phase}}")]),
    ("Memory of ranks", "timeseries", 8, "bytes", "Resident, by slot.", [
        ("ijepa_worker_rank_rss_bytes > 0", "{{instance}} slot {{slot}}")]),
    ("Processor time of ranks", "timeseries", 8, "short", "Cores that the rank in a slot uses.", [
        ("clamp_min(deriv(ijepa_worker_rank_cpu_seconds[1m]), 0)", "{{instance}} slot {{slot}}")]),
    ("Store commits", "timeseries", 8, "s", "Time of a durable write, half and 99 of 100.", [
        ("histogram_quantile(0.5, sum by (le) (rate(ijepa_coordinator_store_commit_seconds_bucket[5m])))", "median"),
        ("histogram_quantile(0.99, sum by (le) (rate(ijepa_coordinator_store_commit_seconds_bucket[5m])))", "p99")]),
    ("Commands waiting", "timeseries", 8, "short", "In the coordinator's mailbox; it refuses beyond its limit.", [
        ("ijepa_coordinator_mailbox_depth", "{{instance}}")]),
    ("Workers' links", "timeseries", 8, "short", "Workers that hear the coordinator, and new streams within ten minutes.", [
        ("sum(ijepa_worker_coordinator_connected)", "connected"),
        ("sum(increase(ijepa_worker_link_reconnects_total[10m]))", "reconnected")]),
    ("Ranks started again", "timeseries", 12, "short", "Within ten minutes, by worker.", [
        ("increase(ijepa_worker_rank_restarts_total[10m])", "{{instance}}")]),
    ("Logs shipped", "timeseries", 12, "Bps", "From workers to the coordinator.", [
        ("sum(rate(ijepa_worker_log_bytes_shipped_total[5m]))", "all workers")]),
]


def variable(name, label, query):
    return {"name": name, "label": label, "type": "query", "datasource": SOURCE, "query": query, "refresh": 2,
            "includeAll": True, "multi": True, "current": {"text": "All", "value": "$__all"}}


def panel(number, position, row):
    title, kind, width, unit, about, queries = row
    left, top = position
    return {
        "id": number, "title": title, "type": kind, "description": about, "datasource": SOURCE,
        "gridPos": {"x": left, "y": top, "w": width, "h": HEIGHTS[kind]},
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "targets": [{"refId": chr(ord("A") + i), "expr": expression, "legendFormat": legend, "datasource": SOURCE}
                    for i, (expression, legend) in enumerate(queries)],
    }


def dashboard(uid, title, rows, variables):
    panels, left, top, height = [], 0, 0, 0
    for number, row in enumerate(rows, 1):
        width = row[2]
        if left + width > COLUMNS:
            left, top, height = 0, top + height, 0
        panels.append(panel(number, (left, top), row))
        left, height = left + width, max(height, HEIGHTS[row[1]])
    source = {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus",
              "current": {"text": "Prometheus", "value": "ijepa-prometheus"}}
    return {"uid": uid, "title": title, "tags": ["ijepa"], "schemaVersion": 38, "version": 1, "editable": True,
            "timezone": "browser", "refresh": "30s", "time": {"from": "now-6h", "to": "now"},
            "templating": {"list": [source, *variables]}, "panels": panels}


DASHBOARDS = {
    "my-run.json": dashboard("ijepa-my-run", "I-JEPA: my run", MY_RUN,
                             [variable("job", "Job", "label_values(ijepa_coordinator_job_step, job)")]),
    "cluster.json": dashboard("ijepa-cluster", "I-JEPA: the cluster", CLUSTER, []),
}


def main():
    check = sys.argv[1:] == ["--check"]
    stale = []
    for name, content in DASHBOARDS.items():
        text = json.dumps(content, indent=1) + "\n"
        path = FOLDER / name
        if check:
            stale += [] if path.exists() and path.read_text() == text else [name]
        else:
            FOLDER.mkdir(exist_ok=True)
            path.write_text(text)
    if stale:
        sys.exit(f"not what {Path(__file__).name} writes: {', '.join(stale)}; run it")


if __name__ == "__main__":
    main()
