"""A page in the browser for those who make pictures: the same commands, without a shell.

A job is a line of the command line, which a process of its own works off in a folder of its own
(`child`, `jobs`). So a picture is what the shell would have made of it, and whatever becomes of a
job, the page stays. The page (`page`) is made of what the commands say of themselves (`commands`).
"""
