"""Users, domains, aliases: login, passwords, mailbox keys, routing, DNS records of a domain."""
