"""What every listener shares: connections counted and ended, and the pace of a conversation."""
