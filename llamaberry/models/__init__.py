"""How a model is reached: clients, error messages, guard, rate limits."""
