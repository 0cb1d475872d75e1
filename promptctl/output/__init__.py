"""Present records as terminal text, tab-separated lines, JSON or Markdown. Only this package uses a terminal."""
