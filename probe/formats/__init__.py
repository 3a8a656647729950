"""Files of other programs, read as they are meant: tables as text, pickles without running them.

A new format is a module here, which reads a file into arrays and names, and knows no recording.
`probe.formats.kinds` recognises it by its content. What reads a recording from it is a loader in
`probe.recordings.importing`, which says how each axis was recognised.
"""
