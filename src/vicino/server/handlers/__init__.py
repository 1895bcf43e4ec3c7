"""What answers: one file a subject, one function an endpoint, one line each in `vicino.server.app.ROUTES`."""
