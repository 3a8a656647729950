"""What is written: files whole or not at all, pictures that say how they were made, words."""
