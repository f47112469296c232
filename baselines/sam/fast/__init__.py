"""SAM for a GPU: fused encoder, decode of any mixture of requests, clicks and a whole sweep on the device."""
