"""The page: families declared beside their rule, rendered to bytes when they change."""
