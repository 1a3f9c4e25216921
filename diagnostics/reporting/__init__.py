"""The report: `ReportData` drawn as one HTML file that needs no network and no other file."""

from __future__ import annotations
