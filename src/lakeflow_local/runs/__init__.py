"""The life of a run: lifecycle, scheduler, schedules, parameters and retention."""
