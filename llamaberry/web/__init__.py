"""The web page of `llamaberry web`: a chat that shows each step of a run. Importing it does nothing."""
