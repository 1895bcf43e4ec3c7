"""HTTP: encoders and collections behind a table of routes, and the page. `app.ROUTES` is that table; start reading there."""
