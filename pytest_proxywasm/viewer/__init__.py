"""The trace viewer: a trace as one HTML file that needs nothing else."""

from .page import page

__all__ = ["page"]
