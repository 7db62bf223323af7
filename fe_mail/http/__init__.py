"""What every HTTP edge shares: requests with a size limit, bodies, statuses, the site."""
