"""Proof before the disaster: objectives and their cadence, forecasts, rules of alarms, reports of evidence. Pure."""
