"""Participatory objectives: people say how much inequality they accept, and that shapes what is maximised."""
