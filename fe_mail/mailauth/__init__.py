"""Message authentication (RFC 8601): what a message's signatures and senders prove."""
