"""One task a file, named as in `--task` (`next_line` for `next-line`); each has its `TASK`.

This folder is the table of tasks: `ostinato.settings.TASKS` lists its files, `runs.task.find_task` loads one of them.
"""
