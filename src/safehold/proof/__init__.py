"""Proof before the disaster: objectives and what they ask for, forecasts, rules of alarms, reports of evidence. Pure."""
