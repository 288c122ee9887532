"""``davault dr``: disaster-recovery plans; ``davault notify`` and ``davault alerts``: how people are told, and what."""

from __future__ import annotations

from backup_core.cli.disaster import plan_commands, run_commands
from backup_core.cli.disaster.group import group as plans

__all__ = ["plan_commands", "plans", "run_commands"]
