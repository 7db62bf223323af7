"""Couriers: each takes one message to one recipient and answers with an Outcome."""
