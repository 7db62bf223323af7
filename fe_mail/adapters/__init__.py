"""The only place that knows a driver: one module or package per technology."""
