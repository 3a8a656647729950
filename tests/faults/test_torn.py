"""What a power cut leaves: repaired by the next extraction, or told in one line with a way out."""
