"""Prints the JSON Schema of ``homelab.yaml``; with the word ``reference`` behind it, the page of all settings."""

import json
import sys

from pve_agents.problems import SettingsError
from pve_agents.settings.reference import reference
from pve_agents.settings.schema import json_schema

try:
    if sys.argv[1:] == ["reference"]:
        sys.stdout.write(reference())
    else:
        sys.stdout.write(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
except SettingsError as error:
    sys.exit(str(error))
