"""The leaderboard: nothing here yet; runs with `save_masks=true` hold what a submission will need."""
