"""Ballots of participatory budgets: projects, what they cost, and who voted how."""

from .ballots import Ballots as Ballots
