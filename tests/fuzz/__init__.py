"""Inputs nobody would write: a parser answers, or raises what it promises, and is quick."""
