"""What the launcher starts, in a copy of this package in the payload."""

import signal
import sys
from pathlib import Path

from pve_agents.guest.main import main

# Whoever interrupts it knows why.
signal.signal(signal.SIGINT, signal.SIG_DFL)
sys.exit(main(sys.argv[1:], str(Path(__file__).resolve().parents[1])))
