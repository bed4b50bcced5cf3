"""One task per file, named as in `--task` (`next_line` for `next-line`); each has its `TASK`.

This folder is the table of tasks: `settings.TASKS` names its files, `runs.finding.find_task` loads one of them.
"""
