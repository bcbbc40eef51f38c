"""Behind `check_run`: mistakes in how a distillation is set up, outside of its loss."""
