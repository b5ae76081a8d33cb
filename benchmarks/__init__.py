"""What Llamaberry costs beside the plain loop, measured: `python -m benchmarks`. soak.py looks for leaks."""
