"""What people read: text for terminals. Arrays and figures in, text out; nothing here learns or decides."""
