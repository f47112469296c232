"""How the pocket agents are trained."""
