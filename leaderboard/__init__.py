"""The leaderboard: suites, submissions that are checked without the method, ranking, the site."""
