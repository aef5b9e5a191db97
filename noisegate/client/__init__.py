"""The HTTP client and the command `noisegate`.

`http.Client` is the library, `answers` and `errors` are what it gives back; `cli` is the command. `local` says what
`noisegate up` starts, on top of `supervisor`, which runs processes as one. May import noisegate.spec, noisegate.errors
and noisegate.store.settings; the service and the worker are started, never imported.
"""
