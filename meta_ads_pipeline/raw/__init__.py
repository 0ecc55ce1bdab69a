"""Land it: normalize, validate, replace slices; the raw assets."""
