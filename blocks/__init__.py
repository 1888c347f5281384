"""Prefect blocks: credentials with SecretStr fields."""
