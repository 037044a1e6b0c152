"""The memory for other programs' agents, through the Model Context Protocol.

`server` says what there is (tools, resources); `memory` finds it, in the running desktop server
or in the data folder; `transport` carries it over stdio or HTTP. Only `server`, `tools`,
`resources` and `transport` need the `mcp` package.
"""
