"""Torture: many sessions while everything that can die is killed, stopped, starved and lied to. See `run --help`."""
