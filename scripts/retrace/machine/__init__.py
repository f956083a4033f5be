"""Files, checksums, downloads, devices, launching and clusters."""
