"""What the drift detector is compared with, and the faults both have to find."""
