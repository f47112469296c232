"""Scripts of others, with their licences."""
