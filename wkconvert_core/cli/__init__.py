"""The command line: options, reports and progress; nothing else prints."""
