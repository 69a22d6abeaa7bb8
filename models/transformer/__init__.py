"""The minutes clock's model: what does a user do next, and to which item?

`history`, `windows` and `counters` are numpy alone; `network`, `loss`, `training` and `export` need
torch and belong to the trainer's process. Serving needs neither: see `models.encoder`.
"""
