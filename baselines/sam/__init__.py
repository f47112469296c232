"""The Segment Anything family (extra ``sam``)."""
