"""Everything that can be known before a deploy, asked at once; nothing is changed by it."""

from pve_agents.operator.doctor.examination import examine

__all__ = ["examine"]
