"""The models that take a simulation one step further."""
