"""A page in the browser for those who would rather not use a shell: the same commands.

A job is a line of the command line, which a process of its own works off in a folder of its own
(`worker`, `jobs`). So a picture is what the shell would have made of it, and whatever becomes of a
job, the page stays. The page (`page`, `tabs`) is made of what the commands say of themselves
(`commands`): their options, with ranges and texts, become `forms`. A recording that is dropped is
read and described before anything runs (`dropped`); `sites` lists the recorded sites that were
fitted; `shown` is the HTML of what a job makes and says.
"""
