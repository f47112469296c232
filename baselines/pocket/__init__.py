"""Two small learned agents that come with the wheel, and how they were trained."""
