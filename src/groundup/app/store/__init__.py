"""What the app keeps: conversations, ratings, settings, accounts; on SQLite or PostgreSQL."""
