"""An experiment on a stream of volumes: analysis, deadlines, feedback, report."""
