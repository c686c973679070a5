"""Where feedback goes, files, sockets, the Lab Streaming Layer, web pages; and what the stimulus computer needs to read it."""
