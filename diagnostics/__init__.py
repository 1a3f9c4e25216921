"""Evaluation protocol, statistics, shortcut measures and the report."""

from __future__ import annotations

from toyshift.core.lazy import lazy_names

_PLACES = {
    "Estimate": "statistics",
    "PairedDifference": "statistics",
    "bootstrap_mean": "statistics",
    "bootstrap_ratio": "statistics",
    "clustered": "statistics",
    "paired_difference": "statistics",
    "wilson": "statistics",
    "Row": "rows",
    "Summary": "summaries",
    "compare": "summaries",
    "per_object": "summaries",
    "per_seed": "summaries",
    "read_rows": "rows",
    "read_rows_manifest": "rows",
    "render_table": "tables",
    "summarise": "summaries",
    "shift_table": "tables",
    "summary_table": "tables",
    "write_rows": "rows",
    "EnvSpec": "actors",
    "open_actor": "actors",
    "EvaluateConfig": "evaluation",
    "evaluate": "evaluation",
    "record_rollouts": "video",
    "write_mp4": "video",
    "DEFAULT_FACTORS": "leaning",
    "LeaningConfig": "leaning",
    "LeaningResult": "leaning",
    "diagnose": "leaning",
    "measure_leaning": "leaning",
    "Diversity": "diversity",
    "measure_diversity": "diversity",
    "image_features": "diversity",
    "ReportData": "report_data",
    "write_report": "report",
}
__getattr__, __dir__ = lazy_names(__name__, _PLACES)
