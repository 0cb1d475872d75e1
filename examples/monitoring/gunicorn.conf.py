"""Give each worker of Gunicorn a page of metrics: `gunicorn --config gunicorn.conf.py application:app`.

The pages are on the ports 9801, 9802 and so on, one for each worker. List them all in prometheus.yml.
"""

from prometheus_client import start_http_server

workers = 4
METRICS_PORT = 9801
# The application registers its collector: REGISTRY.register(prompts.metrics()).


def post_fork(server, worker):
    """Take the first free port. A worker that replaces another takes the port that became free."""
    for port in range(METRICS_PORT, METRICS_PORT + 2 * workers):
        try:
            start_http_server(port)
        except OSError:  # the port of another worker
            continue
        server.log.info("metrics of worker %s on port %s", worker.pid, port)
        return
    server.log.warning("no port is free for the metrics of worker %s", worker.pid)
