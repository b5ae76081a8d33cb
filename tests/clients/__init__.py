"""Third-party clients, as their users run them, on a real server: see requirements.txt for their versions."""
