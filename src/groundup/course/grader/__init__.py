"""Runs a learner's file in processes of its own, and says what was wrong."""
