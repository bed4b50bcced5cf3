"""Training recipes, as package data: one TOML file each."""
