"""Methods in a process of their own: any environment, any language, and no way to the truth.

`agent` is the host's side, `wire` the messages, `child` the process with its time-outs and its log,
`launcher` the limits it starts under. `simclick_method.py` is the method's side: one file, without simclick.
"""
