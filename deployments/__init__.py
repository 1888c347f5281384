"""Where it runs: the GPU work pool, its deployments, and the stack on one machine."""
