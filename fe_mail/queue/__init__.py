"""One durable queue for everything accepted: schedule, runner, bounces."""
