"""What a report draws: charts, marks and pictures, as inline SVG and PNG."""
