"""The stages, one file each, and their contract (ports, media, Stage). Importing it imports no torch."""
