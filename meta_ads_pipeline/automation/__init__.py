"""Jobs, schedules and sensors: what runs, and when."""
