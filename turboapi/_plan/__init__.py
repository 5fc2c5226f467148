"""Definition time: what a handler's signature says, worked out once per route.

`signature` reads the parameters, `fields` validates one value, `dependencies` builds the tree of callables,
`arguments` and `body` (with `forms`) take the values out of a request exactly, and state the facts from which the
compiled fast path decides whether it may take over.
"""
