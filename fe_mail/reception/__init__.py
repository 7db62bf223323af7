"""From the edge into the queue: what is asked at each step, and what makes a message durable."""
