"""Proof before the disaster: objectives and cadence, forecasts, alarms, reports of evidence, runbooks. Pure."""
