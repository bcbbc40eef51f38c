"""What is wrong with a distillation? `diagnose` names the formula of a loss and the known mistakes in it, `check_run`
the mistakes around it: models, optimizer, data, evaluation."""

from kdtutor.diagnosis.findings import Finding, Report
from kdtutor.diagnosis.loss.diagnosis import Diagnosis, diagnose
from kdtutor.diagnosis.setup.check import RunCheck, check_run

__all__ = ["Diagnosis", "Finding", "Report", "RunCheck", "check_run", "diagnose"]
