"""Labels of photos as files that other tools read: tables, annotation tools, keywords in photos."""
