"""One durable queue for everything accepted: intake, schedule, runner, journal."""
