"""Five papers taken apart and put back together: derivations, checks and trainings as notebooks."""

__version__ = "0.1.0"
