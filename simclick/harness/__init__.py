"""From a plan to rows on disk: planning, the lockstep engine, the store, provenance."""
