"""Figures about backups over time, as pandas frames, charts and pages.

    catalogue rows ──> frames ──> measures, storage trend, forecast ──> report ──> charts, HTML page, metrics

Begin with ``frames.load_frames(open_catalogue(path))``; ``schema`` says what each column means and in which unit.
"""
