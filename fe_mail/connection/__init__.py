"""What every listener shares: the conversation and its pace, connections counted and ended."""
