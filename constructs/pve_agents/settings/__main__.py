"""Prints the JSON Schema of ``homelab.yaml``."""

import json
import sys

from pve_agents.settings.schema import json_schema

sys.stdout.write(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
