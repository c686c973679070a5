"""What is sent to a run while it goes on, button presses and other events: listened for, bounded, read."""
