"""The demo: a loopback API of generated issues, and the first recipe loading it twice."""

from __future__ import annotations
