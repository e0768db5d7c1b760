"""One server for all calls (mode=http): GET / tells the time, GET /stream goes on telling it."""

import http.server
import os
import time


class Clock(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/stream":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            for _ in range(10):
                self.wfile.write(f"data: {time.strftime('%H:%M:%S')}\n\n".encode())
                self.wfile.flush()
                time.sleep(1)
            return
        body = time.strftime("%H:%M:%S\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Clock).serve_forever()
